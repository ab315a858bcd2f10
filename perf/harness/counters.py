"""The kernel's account of CPU time: of cgroups exactly, of cores in ticks."""
import os
import time

TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")


def of_cgroup(folder):
    """{usage_usec, user_usec, system_usec} since it was made. usage is exact; its split is sampled."""
    with open(os.path.join(folder, "cpu.stat"), encoding="utf-8") as file:
        entries = dict(line.split() for line in file)
    return {name: int(entries[name]) for name in ("usage_usec", "user_usec", "system_usec")}


def of_cores():
    """[(idle us, stolen us)] of every core."""
    found = []
    with open("/proc/stat", encoding="utf-8") as file:
        for line in file:
            parts = line.split()
            if parts[0].startswith("cpu") and parts[0] != "cpu":
                found.append(((int(parts[4]) + int(parts[5])) * TICK_US, int(parts[8]) * TICK_US))
    return found


def sample(group):
    """All counters of a lab's cgroups (proxy, napi, rest) and of the cores, with the time in us."""
    return {"at_us": time.monotonic_ns() / 1000,
            **{name: of_cgroup(os.path.join(group, name)) for name in ("proxy", "napi", "rest")},
            "cores": of_cores()}


def wait_for_quiet(cores, seconds):
    """Until nobody else works: half a second in which each core was idle for nine tenths. False when
    the time was up before."""
    end = time.monotonic() + seconds
    while True:
        before = of_cores()
        time.sleep(0.5)
        after = of_cores()
        if all(after[core][0] - before[core][0] >= 450_000 for core in cores):
            return True
        if time.monotonic() >= end:
            return False
