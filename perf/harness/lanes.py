"""The lanes: what is connected to what, and the campaigns that run over it.

R   perf/replay.sh: instructions of recorded exchanges, exact.
XK  one lab for both: millrace over AF_XDP and the peers over the kernel's stack take turns on the same
    veths, in front of the same backend, under the same load.

A lane to come (M, memory to memory) is one more function that returns campaigns.
"""
import json
import os
import subprocess
import tempfile
import time

from perf.harness import counters, estimates, windows
from perf.harness.load import HttpLoad, LoadError

OURS = "millrace"
PEERS = ("nginx", "haproxy")
DIRECT = "direct"  # the load speaks to the backend, nobody between
CORES = (windows.PROXY_CORE, windows.OTHER_CORE)
REPLAY_SECONDS_MAX = 1800


def replay(top, program, scenarios, times, say):
    """Lane R's JSON, or {"not_measured": why}."""
    say("lane R: instructions of recorded exchanges")
    with tempfile.TemporaryDirectory(prefix="perf.") as folder:
        file = os.path.join(folder, "replay.json")
        command = [os.path.join(top, "perf", "replay.sh"), "--json", file, "--times", str(times),
                   "--program", program]
        for scenario in scenarios:
            command += ["--scenario", scenario]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False,
                                  timeout=REPLAY_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            return {"not_measured": f"longer than {REPLAY_SECONDS_MAX} s"}
        if done.returncode:
            return {"not_measured": (done.stderr.strip() or "perf/replay.sh failed").split("\n")[-1]}
        with open(file, encoding="utf-8") as found:
            return json.load(found)


class VethLane:
    """Lanes X and K. settings: see perf/run; lab: an open Lab; load_program: http_load."""

    def __init__(self, lab, load_program, settings, say):
        self._lab, self._program, self._settings, self._say = lab, load_program, settings, say
        self.offloads = {}  # arm -> [what was read at each start, without repeats]

    def _start(self, arm):
        target = self._lab.facts["backend"] if arm == DIRECT else self._lab.start(arm)
        flags = self._lab.offloads()
        seen = self.offloads.setdefault(arm, [])
        if flags not in seen:
            seen.append(flags)
        return target

    def _stop(self, arm):
        if arm != DIRECT:
            self._lab.stop(arm)

    def _sample(self, load):
        requests = load.requests()
        return {**counters.sample(self._lab.group), "requests": requests}

    def window(self, arm, block, connections, rate):
        """One window of one arm, started and stopped for it."""
        settings = self._settings
        quiet = counters.wait_for_quiet(CORES, settings["patience_seconds"])
        target = self._start(arm)
        load = None
        try:
            load = HttpLoad(self._program, self._lab, target, connections,
                            settings["warm_seconds"], rate)
            time.sleep(settings["warm_seconds"])
            before = self._sample(load)
            time.sleep(settings["window_seconds"])
            after = self._sample(load)
            figures = load.finish()
        finally:
            if load:
                load.close()
            self._stop(arm)
        limits = {"rate": rate, "steal": settings["steal_percent_max"],
                  "others": settings["others_percent_max"]}
        found = windows.window(arm, block, before, after, figures, limits, arm != DIRECT)
        found["quiet_before"] = quiet
        self._say(f"  block {block} {arm:9} {found['rate']:7.0f}/s cpu {found['cpu_us']:6.2f} us "
                  f"p50 {found['p50_us']:6.0f} p99 {found['p99_us']:6.0f} us  "
                  + (f"VOID: {', '.join(found['why_void'])}" if found["why_void"] else "ok"))
        return found

    def campaign(self, name, arms, blocks, connections, rate, until):
        """Blocks of A B C C B A. A block with a void window does not count and is measured again, up to
        as many times as there are blocks; none begins that would end after until (time.monotonic), but
        the first. blocks_counted and out_of_time say how it ended."""
        self._say(f"lanes X and K: {name}, {blocks} blocks of {' '.join(arms)} and back")
        found = {"name": name, "arms": list(arms), "connections": connections,
                 "rate_asked": rate, "windows": [], "out_of_time": False}
        longest = 0.0
        for block in range(1, 2 * blocks + 1):
            began = time.monotonic()
            if block > 1 and began + longest > until:
                found["out_of_time"] = True
                self._say(f"  out of time: {found['blocks_counted']} of {blocks} blocks count")
                break
            for arm in estimates.there_and_back(arms):
                found["windows"].append(self.window(arm, block, connections, rate))
            longest = max(longest, time.monotonic() - began)
            found["blocks_counted"] = len(estimates.whole_blocks(found["windows"], arms))
            if found["blocks_counted"] == blocks:
                break
        return found

    def generator_self_test(self, connections, rate):
        """What load and backend do without a proxy, against the rate that is tested."""
        self._say("self-test: load and backend without a proxy, closed loop")
        reached = self.window(DIRECT, 0, connections, None)
        return {"generator": HttpLoad.name, "rate_tested": rate, "rate_reached": reached["rate"],
                "ratio": reached["rate"] / rate, "holds": reached["rate"] >= 2 * rate,
                "note": "load and backend on one core, as they are beside the proxies; kernel sockets"}


__all__ = ["DIRECT", "LoadError", "OURS", "PEERS", "VethLane", "replay"]
