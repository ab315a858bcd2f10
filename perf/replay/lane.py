"""Runs scenarios of the replay under callgrind: what perf/replay.sh and perf/gate share."""
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.realpath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)

import split  # noqa: E402  pylint: disable=wrong-import-position
from callgrind_file import CallgrindFile  # noqa: E402  pylint: disable=wrong-import-position

# A table larger than this is made once, outside callgrind, and read from a file.
ROUTES_BUILT_IN_PLACE_MAX = 20_000
BACKENDS = ("--backend", "10.20.0.11:8081", "--backend-count", "4")
# What a scenario may take under callgrind; the largest table needs most of it.
SECONDS_MAX = 900


class LaneError(Exception):
    pass


def run(command, **options):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX,
                              check=False, **options)
    except subprocess.TimeoutExpired as error:
        raise LaneError(f"{os.path.basename(command[0])} took longer than {SECONDS_MAX} s") \
            from error
    except OSError as error:
        raise LaneError(f"{command[0]}: {error.strerror}") from error


def is_program(path):
    return os.path.isfile(path) and os.access(path, os.X_OK)


def source_of(program):
    """The tree that a program was built from, to tell its files from others."""
    folder = os.path.dirname(os.path.realpath(program))
    while folder != "/":
        cache = os.path.join(folder, "CMakeCache.txt")
        if os.path.exists(cache):
            with open(cache, encoding="utf-8") as file:
                entries = dict(re.findall(r"^(\w+):\w+=(.*)$", file.read(), re.M))
            return entries.get("CMAKE_HOME_DIRECTORY", TOP), entries
        folder = os.path.dirname(folder)
    return TOP, {}


class Lane:
    """One build of the replay. keep: a folder for callgrind's files, or None."""

    def __init__(self, program, fast_paths=None, keep=None):
        if not shutil.which("valgrind"):
            raise LaneError("needs valgrind (deploy/packages.sh)")
        if not shutil.which("addr2line"):
            raise LaneError("needs addr2line (deploy/packages.sh: binutils)")
        self.program = os.path.realpath(program)
        if not is_program(self.program):
            raise LaneError(f"{program} is no program")
        self.source, self._cache = source_of(self.program)
        self._fast_paths = ["--fast-paths", fast_paths] if fast_paths else []
        self._work = tempfile.TemporaryDirectory(prefix="replay.")
        self._keep = keep
        self._tables = {}

    def close(self):
        self._work.cleanup()

    def scenarios(self):
        """Every row: name, requests, gate_requests, routes, unit, note."""
        said = run([self.program, "--list"])
        if said.returncode:
            raise LaneError(said.stderr.strip() or "the list of scenarios could not be read")
        rows = [line.split("\t") for line in said.stdout.splitlines()]
        if not rows or any(len(row) < 6 for row in rows):
            raise LaneError(f"{self.program} --list says no scenarios: it is no replay, or of another version")
        return [{"name": row[0], "requests": int(row[1]), "gate_requests": int(row[2]),
                 "routes": int(row[3]), "unit": row[4], "note": row[5]} for row in rows]

    def _table(self, routes):
        if routes <= ROUTES_BUILT_IN_PLACE_MAX:
            return []
        if routes not in self._tables:
            file = os.path.join(self._work.name, f"table.{routes}")
            maker = os.path.join(os.path.dirname(os.path.dirname(self.program)), "table",
                                 "make_table")
            made = run([maker, "--routes", str(routes), *BACKENDS, "--out", file])
            if made.returncode:
                raise LaneError(f"make_table: {made.stderr.strip()}")
            self._tables[routes] = file
        return ["--table", self._tables[routes]]

    def _arguments(self, row, requests, *more):
        return [self.program, "--scenario", row["name"], "--exchanges",
                os.path.join(self.source, "perf", "replay", "exchanges"),
                *(["--requests", str(requests)] if requests else []),
                *self._table(row["routes"]), *self._fast_paths, *more]

    def _figures(self, row, command):
        done = run(command)
        line = next((line for line in done.stdout.splitlines() if line.startswith("{")), None)
        if done.returncode or line is None:
            raise LaneError(f"{row['name']}: {done.stderr.strip() or 'printed no figures'}")
        return json.loads(line)

    def timed(self, row, repeats):
        """The same row without callgrind: time-stamp ticks, and octets of memory."""
        return self._figures(row, self._arguments(row, None, "--repeat", str(repeats)))

    def count(self, row, requests=None):
        """Counts one row. The figures of the program, and beside them instructions (a unit) in all,
        by room and by stage."""
        file = os.path.join(self._keep or self._work.name, f"callgrind.{row['name']}")
        figures = self._figures(row, [
            "valgrind", "--tool=callgrind", "--dump-instr=yes", "--instr-atstart=no",
            "--collect-atstart=no", f"--toggle-collect=*{split.MEASURED}*",
            f"--callgrind-out-file={file}", *self._arguments(row, requests)])
        counted = CallgrindFile(file)
        units = figures["units"]
        if counted.total() == 0:
            raise LaneError(f"{row['name']}: nothing was counted; was the program built with "
                            "valgrind's header?")
        def each(counter):
            return {name: round(count / units, 2) for name, count in counter.most_common()
                    if count / units >= 0.05}
        figures["note"] = row["note"]
        figures["instructions"] = round(counted.total() / units, 2)
        figures["by_room"] = each(split.by_room(counted, self.source))
        figures["by_stage"] = each(split.by_stage(counted, self.program, self.source))
        figures["by_function"] = each(split.by_function(counted))
        figures["by_line"] = each(split.by_line(counted, self.source))
        # What a count says of time and of memory is callgrind's, not the worker's.
        for name in ("ticks", "ticks_least", "ticks_most", "memory"):
            figures.pop(name)
        return figures

    def build(self):
        """What a figure holds for: other compilers, C libraries and processors give others."""
        built = json.loads(run([self.program, "--build"]).stdout)
        built["valgrind"] = run(["valgrind", "--version"]).stdout.strip()
        built["architecture"] = platform.machine()
        return built

    def facts(self):
        """The same and where it came from, for a report."""
        flags = " ".join(filter(None, (
            self._cache.get(f"CMAKE_CXX_FLAGS_{self._cache.get('CMAKE_BUILD_TYPE', '').upper()}"),
            "-flto" if self._cache.get("MILLRACE_LTO") == "ON" else "")))
        commit = run(["git", "-C", self.source, "describe", "--always", "--dirty"])
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            model = re.search(r"^model name[^:]*: (.*)$", file.read(), re.M)
        return {**self.build(), "flags": flags or "unknown",
                "commit": commit.stdout.strip() or "unknown",
                "machine": model.group(1) if model else "unknown",
                "fast_paths": self._fast_paths[1] if self._fast_paths else "as built"}
