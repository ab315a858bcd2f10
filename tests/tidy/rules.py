"""The house rules. See run for how they are called."""
import concurrent.futures
import os
import re
import shutil
import subprocess
import tempfile


class Tree:
    """The repository's files; `top` is None for a sample that exists only in memory."""

    def __init__(self, top):
        self.top = top
        self.files = {}
        self.executable = set()

    def add(self, path, text, executable=False):
        self.files[path] = text
        if executable:
            self.executable.add(path)

    def each(self, *endings):
        return ((path, text) for path, text in self.files.items() if path.endswith(endings))

    def code(self):
        return self.each(".h", ".cc", ".c")


all_rules = []


def rule(offending, innocent, long=False):
    """Marks a rule; each sample is a small tree, path -> text ('+x path' is executable)."""
    def mark(function):
        function.offending = offending
        function.innocent = innocent
        function.long = long
        all_rules.append(function)
        return function
    return mark


def without_comments(text):
    """The code with comments and string literals blanked, lines kept."""
    def blank(match):
        kept = match.group(0)
        return re.sub(r"[^\n]", " ", kept) if kept[0] == "/" else '""'
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


def lines_matching(text, pattern):
    for number, line in enumerate(text.split("\n"), 1):
        match = re.search(pattern, line)
        if match:
            yield number, match.group(0).strip()


def is_test(path):
    """Tests and their tools may reach across rooms (never from one process into the other)."""
    name = os.path.basename(path)
    return (path.startswith(("tests/", "perf/")) or
            re.search(r"(_test|_fuzz|_bench|_testing|_harness|_test_engine|_test_support|_cost)\.(cc|h)$|^test_", name)
            is not None)


# ---- arrows ------------------------------------------------------------------------------------

# What a room may include besides itself: docs/architecture.md draws it. The longest name that a
# file's folder begins with counts.
ROOMS = {
    "base": "",
    "shm": "base",
    "bpf": "base",
    "dataplane/packet": "base",
    "dataplane/nic": "base dataplane/packet bpf",
    "dataplane/net": "base dataplane/packet",
    "dataplane/tcp": "base dataplane/packet dataplane/net",
    "dataplane/http": "base dataplane/packet",
    "dataplane/route": "base shm",
    "dataplane/guard": "base shm dataplane/route",
    "dataplane/upstream": "base shm dataplane/packet dataplane/net dataplane/tcp",
    "dataplane/access_log": "base dataplane/packet dataplane/http",
    "dataplane/proxy": "base shm dataplane/packet dataplane/net dataplane/tcp dataplane/http "
                       "dataplane/route dataplane/upstream dataplane/access_log",
    "dataplane": "base shm bpf dataplane/packet dataplane/nic dataplane/net dataplane/tcp "
                 "dataplane/http dataplane/route dataplane/upstream dataplane/access_log "
                 "dataplane/proxy dataplane/guard",
    "cli": "base shm controlplane/answers controlplane/check",
    "controlplane/log": "",
    "controlplane/k8s": "base",
    "controlplane/manifests": "base controlplane/k8s",
    "controlplane/store": "base controlplane/k8s",
    "controlplane/certificates": "base controlplane/k8s controlplane/store",
    "controlplane/names": "base controlplane/k8s controlplane/store",
    "controlplane/cluster": "base controlplane/k8s controlplane/manifests controlplane/store "
                            "controlplane/certificates",
    "controlplane/model": "base shm controlplane/k8s controlplane/store",
    "controlplane/compile": "base shm controlplane/k8s controlplane/model",
    "controlplane/answers": "base",
    "controlplane/check": "base controlplane/k8s controlplane/manifests controlplane/store "
                          "controlplane/certificates controlplane/model controlplane/compile "
                          "controlplane/answers",
    "controlplane/explain": "base controlplane/k8s controlplane/store controlplane/model",
    "controlplane/metrics": "base shm controlplane/k8s controlplane/answers",
    "controlplane/serve": "base shm controlplane/k8s controlplane/manifests controlplane/store "
                          "controlplane/model controlplane/history controlplane/publish "
                          "controlplane/explain controlplane/answers",
    "controlplane/history": "base controlplane/model controlplane/compile",
    "controlplane/publish": "base shm controlplane/k8s controlplane/store controlplane/model "
                            "controlplane/compile controlplane/history",
    "controlplane": "base shm controlplane/log controlplane/k8s controlplane/manifests controlplane/store controlplane/cluster "
                    "controlplane/certificates controlplane/names controlplane/model controlplane/compile controlplane/check controlplane/history "
                    "controlplane/answers controlplane/explain controlplane/serve controlplane/metrics "
                    "controlplane/publish",
}

# Beside the arrows: the list of counters is spoken by every room of the data plane.
EVERYWHERE_IN_DATAPLANE = {"dataplane/counters.h", "dataplane/counters.def"}


def room_of(path):
    folder = os.path.dirname(path)
    while folder and folder not in ROOMS:
        folder = os.path.dirname(folder)
    return folder


@rule(offending=[{"dataplane/tcp/a.cc": '#include "dataplane/http/message.h"\n'},
                 {"dataplane/http/a.h": '#include "dataplane/tcp/tcp.h"\n'},
                 {"dataplane/nic/a.h": '#include "dataplane/net/ipv4.h"\n'},
                 {"base/a.h": '#include "shm/snapshot.h"\n'},
                 {"controlplane/main.cc": '#include "dataplane/config.h"\n'},
                 {"dataplane/route/a.cc": '#include "controlplane/model/model.h"\n'},
                 {"controlplane/model/a_test.cc": '#include "dataplane/route/router.h"\n'}],
      innocent=[{"dataplane/proxy/a.cc": '#include "dataplane/tcp/tcp.h"\n#include "base/check.h"\n'},
                {"dataplane/worker.h": '#include "dataplane/nic/port.h"\n'},
                {"dataplane/net/a.h": '#include "dataplane/counters.h"\n'},
                {"dataplane/tcp/a_test.cc": '#include "dataplane/nic/sim_port.h"\n'}])
def arrows(tree):
    """Rooms include only what the arrows allow."""
    for path, text in tree.code():
        room = room_of(path)
        if not room:
            continue
        for number, line in enumerate(text.split("\n"), 1):
            match = re.match(r'\s*#\s*include "([^"]+)"', line)
            if not match:
                continue
            target = match.group(1)
            process, other = room.split("/")[0], target.split("/")[0]
            crosses = {process, other} == {"dataplane", "controlplane"}
            if is_test(path) and not crosses:
                continue
            reached = room_of(target)
            if not reached or reached == room or reached in ROOMS[room].split():
                continue
            if target in EVERYWHERE_IN_DATAPLANE and process == "dataplane":
                continue
            yield f"{path}:{number}: {room} must not see {target}"


@rule(offending=[{"dataplane/proxy/a.cc": '#include "shm/snapshot_store.h"\n'},
                 {"dataplane/config.cc": '#include "shm/snapshot_store.h"\n'}],
      innocent=[{"dataplane/worker.h": '#include "shm/snapshot_store.h"\n'},
                {"dataplane/housekeeping.cc": '#include "shm/snapshot_store.h"\n'}])
def snapshot_cell(tree):
    """Only the worker, housekeeping and main see the cell that snapshots arrive in."""
    for path, text in tree.code():
        if not path.startswith("dataplane/") or is_test(path):
            continue
        if re.match(r"dataplane/(worker|housekeeping|log_thread|open_ports|main)\w*\.(h|cc)$", path):
            continue
        for number, _ in lines_matching(text, r'#include "shm/snapshot_store\.h"'):
            yield f"{path}:{number}: the snapshot cell belongs to the worker and to housekeeping"


@rule(offending=[{"dataplane/worker.cc": "#include <rte_mbuf.h>\n"},
                 {"dataplane/nic/dpdk_port.h": "#include <rte_ethdev.h>\n"},
                 {"perf/a.cc": "  rte_eal_init(0, nullptr);\n"}],
      innocent=[{"dataplane/nic/dpdk_port.cc": "#include <rte_mbuf.h>\n  rte_pktmbuf_free(m);\n"},
                {"dataplane/nic/dpdk_port_test.cc": "#include <rte_mbuf.h>\n"},
                {"dataplane/nic/port.h": "// rte_mbuf pointers, say\n"}])
def dpdk(tree):
    """DPDK is seen by dataplane/nic/dpdk_*.cc alone."""
    for path, text in tree.code():
        if re.match(r"dataplane/nic/dpdk_\w+\.cc$", path):
            continue
        for number, word in lines_matching(without_comments(text), r"\brte_\w+"):
            yield f"{path}:{number}: {word} outside of dataplane/nic/dpdk_*.cc"


@rule(offending=[{"dataplane/tcp/a.cc": "  auto t = std::chrono::steady_clock::now();\n"},
                 {"dataplane/proxy/a.cc": "  clock_gettime(CLOCK_REALTIME, &at);\n"},
                 {"dataplane/nic/a.cc": "  MonotonicClock clock;\n"}],
      innocent=[{"dataplane/worker_loop.h": "  MonotonicClock clock_;\n"},
                {"dataplane/tcp/a.cc": "// no steady_clock here\n"},
                {"dataplane/tcp/a_test.cc": "  MonotonicClock clock;\n"}])
def clocks(tree):
    """Worker, housekeeping, log thread and main read a clock; time is an argument elsewhere."""
    clock = (r"\b(MonotonicClock|TscClock|steady_clock|system_clock|high_resolution_clock|"
             r"clock_gettime|gettimeofday|__rdtscp?|__builtin_ia32_rdtscp?|time\((nullptr|NULL|0)\))")
    for path, text in tree.code():
        if not path.startswith("dataplane/") or is_test(path):
            continue
        if re.match(r"dataplane/(worker|housekeeping|log_thread|open_ports|main)\w*\.(h|cc)$", path):
            continue
        for number, word in lines_matching(without_comments(text), clock):
            yield f"{path}:{number}: reads a clock ({word})"


# ---- a worker's path ---------------------------------------------------------------------------

# Files of the data plane that run at start or on the housekeeping thread, not on a worker's path.
OFF_THE_PATH = re.compile(
    r"dataplane/((main|config|open_ports|housekeeping|traffic_rows|start|privileges|log)\w*|guard/\w+)\.(h|cc)$")

BANNED = re.compile(
    r"std::function\b|\bshared_ptr\b|\bmake_shared\b|\bthrow\b|\bcatch\s*\(|"
    r"(?<![\w:.])(?:malloc|calloc|realloc|free)\s*\(|\bnew\s+[A-Za-z_:]|"
    r"\bstd::(?:recursive_|shared_|timed_)?mutex\b|\bstd::(?:lock_guard|unique_lock|scoped_lock|"
    r"condition_variable|thread|jthread|async)\b|\bpthread_(?:mutex|cond|rwlock)\w*|"
    r"\bspdlog\b|\bstd::c(?:out|err)\b|(?<![\w:.])(?:std::)?f?printf\s*\(|\bsyslog\s*\(")

# What is created once at start may be allocated there: `path: words` that are allowed, each with
# its reason.
ALLOWED_ON_PATH = {
    # A port and its frame memory are made once, before the worker turns; their constructors are
    # private, so std::make_unique cannot be used.
    ("dataplane/nic/xdp_port.cc", "new "),
    ("dataplane/nic/xdp_umem.cc", "new "),
    ("dataplane/nic/pcap_port.cc", "new "),
    ("dataplane/nic/dpdk_environment.cc", "new "),
    # The gate's own thread, which is nobody's path: links come and go on it.
    ("dataplane/nic/memif_gate.h", "std::thread"),
    ("dataplane/nic/memif_gate.cc", "std::thread"),
    ("dataplane/nic/memif_gate.cc", "new "),
    ("dataplane/nic/memif_gate.cc", "catch"),
}


@rule(offending=[{"dataplane/tcp/a.h": "  std::function<void()> callback_;\n"},
                 {"dataplane/net/a.cc": "  auto* p = new Thing();\n"},
                 {"dataplane/proxy/a.cc": "  throw 1;\n"},
                 {"dataplane/worker.h": "  std::mutex lock_;\n"},
                 {"dataplane/http/a.cc": '  std::printf("x");\n'},
                 {"dataplane/upstream/a.cc": "  std::shared_ptr<int> p;\n"},
                 {"dataplane/nic/a.cc": "  free(p);\n"}],
      innocent=[{"dataplane/main.cc": "  std::function<void()> f; spdlog::info(1);\n"},
                {"dataplane/tcp/a.cc": "// a new connection; throw nothing\n  arena.free(slot);\n"},
                {"dataplane/tcp/a.h": "  std::snprintf(b, 4, f);\n  new (place) Thing;\n"},
                {"dataplane/tcp/a_test.cc": "  auto* p = new Thing();\n"},
                {"controlplane/model/a.cc": "  throw 1;\n"}])
def worker_path(tree):
    """No lock, allocation, exception, std::function, shared_ptr or log line on a worker's path."""
    for path, text in tree.code():
        if not path.startswith("dataplane/") or is_test(path) or OFF_THE_PATH.match(path):
            continue
        for number, word in lines_matching(without_comments(text), BANNED):
            if not any(path == allowed and word.startswith(what)
                       for allowed, what in ALLOWED_ON_PATH):
                yield f"{path}:{number}: {word} on a worker's path"


# ---- names and forms ---------------------------------------------------------------------------

@rule(offending=[{"dataplane/common/a.h": ""}, {"base/utils/a.h": ""}, {"shm/helpers.h": ""},
                 {"tests/util.cc": ""}, {"base/a.h": "class FrameManager {\n"},
                 {"base/a.h": "struct BufferManager;\n"}],
      innocent=[{"base/bytes.h": "class Frame {};\n"}, {"base/a.h": "// not a Manager\n"}])
def names(tree):
    """No junk drawers and nobody called Manager."""
    for path, text in tree.files.items():
        parts = path.split("/")
        stem = parts[-1].split(".")[0]
        if any(part in ("common", "utils", "util", "helpers", "misc") for part in parts[:-1] + [stem]):
            yield f"{path}: a name that says nothing about what is in it"
        if path.endswith((".h", ".cc")):
            for number, word in lines_matching(without_comments(text), r"\b(class|struct)\s+\w*Manager\b"):
                yield f"{path}:{number}: {word}"


# Written in two halves, so that this file does not offend itself.
OPEN_ENDS = r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b"


@rule(offending=[{"base/a.h": "// TO" "DO: later\n"}, {"docs/a.md": "FIX" "ME\n"}],
      innocent=[{"base/a.h": "// done\n"}])
def open_ends(tree):
    """Nothing is left for later in the text: it is done, or it is an issue."""
    for path, text in tree.files.items():
        for number, word in lines_matching(text, OPEN_ENDS):
            yield f"{path}:{number}: {word}"


@rule(offending=[{"base/a.cc": "x\n" * 801}], innocent=[{"base/a.cc": "x\n" * 800}])
def length(tree):
    """No source file is longer than 800 lines."""
    for path, text in tree.each(".h", ".cc", ".c", ".py", ".sh", ".bash", ".proto", ".def"):
        lines = text.count("\n")
        if lines > 800:
            yield f"{path}: {lines} lines; which two duties does it hold?"


@rule(offending=[{"base/a.h": "int f();\n"}, {"base/a.h": "#include <a>\n#pragma once\n"}],
      innocent=[{"base/a.h": "// what\n#pragma once\n"},
                {"bpf/a.h": "/* C */\n#ifndef MILLRACE_BPF_A_H\n#define MILLRACE_BPF_A_H\n"}])
def include_guard(tree):
    """A header begins with #pragma once (or a guard, if C reads it too)."""
    for path, text in tree.each(".h"):
        first = next((line for line in without_comments(text).split("\n") if line.strip()), "")
        if first.strip() != "#pragma once" and not first.startswith("#ifndef MILLRACE_"):
            yield f"{path}: the first line of code is not #pragma once"


@rule(offending=[{"base/a.cc": '#include <vector>\n#include "base/a.h"\n', "base/a.h": "\n"},
                 {"base/b.cc": '#include "a.h"\n', "base/a.h": "\n"}],
      innocent=[{"base/a.cc": '#include "base/a.h"\n#include <vector>\n', "base/a.h": "\n"}])
def includes(tree):
    """Include paths start at the top, and x.cc includes x.h first, so x.h stands by itself."""
    for path, text in tree.each(".cc"):
        found = re.findall(r'^\s*#\s*include ([<"])([^>"]+)', text, re.M)
        own = path[:-3] + ".h"
        if own in tree.files and found and found[0][1] != own:
            yield f"{path}: the first include is not {own}"
        for quote, target in found:
            local = os.path.join(os.path.dirname(path), target)
            if quote == '"' and local in tree.files and local != target:
                yield f"{path}: include it as {os.path.normpath(local)}, not {target}"


COUNTER = re.compile(r'MILLRACE_COUNTER\(\s*(\w+)\s*,\s*(\w+)\s*,\s*((?:"(?:\\.|[^"\\])*"\s*)*)\)')


@rule(offending=[{"dataplane/counters.def": "MILLRACE_COUNTER(tcp_a, info, \"\")\n"},
                 {"dataplane/counters.def": "MILLRACE_COUNTER(tcp_a, loud, \"segments taken in\")\n"},
                 {"dataplane/counters.def": "MILLRACE_COUNTER(a, info, \"segments taken in\")\n"},
                 {"dataplane/counters.def": "MILLRACE_COUNTER(tcp_a, info)\n"},
                 {"dataplane/counters.def": 'MILLRACE_COUNTER(tcp_a, info, "taken in by us")\n' * 2,
                  "dataplane/tcp/a.cc": "tcp_a\n"},
                 {"dataplane/counters.def": 'MILLRACE_COUNTER(tcp_a, info, "segments taken in")\n'}],
      innocent=[{"dataplane/counters.def": 'MILLRACE_COUNTER(tcp_a, info, "segments taken in")\n',
                 "dataplane/tcp/a.cc": "count(Counter::tcp_a);\n"}])
def counters(tree):
    """Every counter has a room, a severity, one sentence, and a place that counts it."""
    text = tree.files.get("dataplane/counters.def", "")
    counted = "\n".join(body for path, body in tree.each(".h", ".cc")
                        if path.startswith("dataplane/") and not is_test(path))
    words = set(re.findall(r"\w+", without_comments(counted)))
    seen = set()
    for line in re.findall(r"^MILLRACE_COUNTER\(.*(?:\n .*)*", text, re.M):
        match = COUNTER.match(line)
        if not match:
            yield f"dataplane/counters.def: not (name, severity, sentence): {line}"
            continue
        name, severity, sentence = match.groups()
        sentence = "".join(re.findall(r'"((?:\\.|[^"\\])*)"', sentence))
        if name in seen:
            yield f"dataplane/counters.def: {name} stands there twice"
        seen.add(name)
        if "_" not in name:
            yield f"dataplane/counters.def: {name} does not begin with its room"
        if severity not in ("info", "notice", "warning"):
            yield f"dataplane/counters.def: {name}: no such severity: {severity}"
        if len(sentence.split()) < 2:
            yield f"dataplane/counters.def: {name} has no sentence"
        if name not in words:
            yield f"dataplane/counters.def: {name} is counted nowhere"


# Written in pieces, so that this file does not offend itself.
PRIVATE = re.compile(r"(?<![\w./-])/(?:wo" r"rk|ro" r"ot|tm" r"p/brief)/|\bch" r"at(?:bot|gpt)\b|"
                     r"\b(?:cla" r"ude|anthro" r"pic|op" r"enai|ll" r"m)\b", re.I)


@rule(offending=[{"docs/a.md": "see /wo" "rk/main\n"}, {"base/a.h": "// by cla" "ude\n"}],
      innocent=[{"docs/a.md": "a network/work/load diagram, /var/tmp/x\n"}])
def private(tree):
    """Nothing of the machine or of the tools that somebody wrote this with."""
    for path, text in tree.files.items():
        for number, word in lines_matching(text, PRIVATE):
            yield f"{path}:{number}: {word}"


# ---- tools -------------------------------------------------------------------------------------

def told(command, text=None):
    """Runs a tool; what it says when it fails, else nothing."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return (done.stderr + done.stdout).strip() if done.returncode else ""


def kind_of_script(path, text):
    first = text.split("\n", 1)[0]
    if first.startswith("#!"):
        return "python" if "python" in first else "shell" if re.search(r"\b(ba)?sh\b", first) else None
    if path.endswith((".sh", ".bash")):
        return "shell"
    return "python" if path.endswith(".py") else None


@rule(offending=[{"+x a.sh": "#!/bin/bash\nset -u\nif true; then\n"},
                 {"a.sh": "#!/bin/bash\nset -u\n"},
                 {"+x a.sh": "#!/bin/bash\necho\n"},
                 {"a.py": "def f(:\n"},
                 {"+x a.sh": "#!/bin/bash\nset -u\npkill -f nginx\n"}],
      innocent=[{"+x a.sh": "#!/bin/bash\nset -u\necho\n"}, {"a.bash": "set -u\n"},
                {"+x a.sh": "#!/bin/bash\n. ./lab_test.bash\n"}, {"a.py": "x = 1\n"}])
def scripts(tree):
    """Scripts parse, can be executed, stop at unset variables, and kill nobody by name."""
    for path, text in tree.files.items():
        kind = kind_of_script(path, text)
        if kind is None:
            continue
        if text.startswith("#!") and path not in tree.executable:
            yield f"{path}: has a #! line and is not executable"
        if kind == "python":
            try:
                compile(text, path, "exec")
            except SyntaxError as error:
                yield f"{path}:{error.lineno}: {error.msg}"
            continue
        shell = "bash" if "bash" in text.split("\n", 1)[0] or path.endswith(".bash") else "sh"
        said = told([shell, "-n"], text)
        if said:
            yield f"{path}: {said.splitlines()[0]}"
        if text.startswith("#!") and not re.search(r"^(set -\w*u|\. .*lab_test\.bash)", text, re.M):
            yield f"{path}: does not say set -u"
        for number, word in lines_matching(text, r"^[^#]*\b(pkill|killall)\b"):
            yield f"{path}:{number}: {word}: kills by name"


@rule(offending=[{"base/a.cc": "int  f( ) { return 1 ; }\n"}],
      innocent=[{"base/a.cc": "int f();\n"}])
def format(tree):  # pylint: disable=redefined-builtin
    """clang-format has nothing to change."""
    tool = shutil.which("clang-format-14")
    if not tool:
        yield "clang-format-14 is not installed (deploy/packages.sh)"
        return
    config = os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../.clang-format")

    command = [tool, f"--style=file:{config}", "--dry-run", "-Werror"]
    if tree.top is None:  # a sample
        for path, text in tree.code():
            if said := told(command + [f"--assume-filename={path}"], text):
                yield f"{path}: {said.splitlines()[0]}"
        return
    # One process for many files: starting it costs more than what it does for a file.
    paths = [os.path.join(tree.top, path) for path, _ in tree.code()]
    parts = [paths[at::os.cpu_count()] for at in range(os.cpu_count())]
    with concurrent.futures.ThreadPoolExecutor(len(parts)) as pool:
        for said in pool.map(lambda part: told(command + part) if part else "", parts):
            first = {}
            for line in said.splitlines():
                if "error:" in line:
                    first.setdefault(line.split(":", 1)[0], line)
            if said and not first:
                yield said
            for path, line in first.items():
                yield f"{os.path.relpath(path, tree.top)}: run clang-format-14 -i on it ({line})"


@rule(offending=[{"base/a.h": "#pragma once\ninline std::string f();\n"}],
      innocent=[{"base/a.h": "#pragma once\n#include <string>\ninline std::string f();\n"}],
      long=True)
def header_alone(tree):
    """Every header compiles by itself (those with an x.cc do on every build)."""
    generated = [os.path.join(tree.top, "build", preset, folder) for preset in ("release", "dev")
                 for folder in ("bpf", "controlplane/k8s", ".")] if tree.top else []

    def check(path):
        with tempfile.NamedTemporaryFile("w", suffix=".cc") as file:
            file.write(tree.files[path] if tree.top is None else f'#include "{path}"\n')
            file.flush()
            said = told(["g++", "-std=c++20", "-fsyntax-only", "-I", tree.top or "."] +
                        [flag for folder in generated for flag in ("-I", folder)] + [file.name])
        return f"{path}: {said.splitlines()[0]}" if said else None

    headers = [path for path, _ in tree.each(".h") if path[:-2] + ".cc" not in tree.files]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from filter(None, pool.map(check, headers))
