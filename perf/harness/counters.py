"""The kernel's account of CPU time: of cgroups exactly, of cores but for interrupts, of everybody else.

A core's idle time is exact, too, where ticks stop while it idles, and holds no interrupt. So what a
core did is what is left of the wall clock, in which the interrupts of a core that idled are counted as
well, although they belong to no task and to no cgroup.
"""
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


def task_us(stat):
    """What the line of /proc/PID/stat says of a process and of the children it has buried.

    A process that ends hands its time to its parent, so the sum over all processes loses nothing when
    short ones come and go within a window.
    """
    fields = stat.rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) * TICK_US


def of_others(group):
    """CPU time of all processes that are in none of the lab's cgroups."""
    ours = set()
    for name in os.listdir(group):
        members = os.path.join(group, name, "cgroup.procs")
        if os.path.exists(members):
            with open(members, encoding="utf-8") as file:
                ours.update(file.read().split())
    total = 0.0
    for pid in os.listdir("/proc"):
        if not pid.isdigit() or pid in ours:
            continue
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                total += task_us(file.read())
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total


def sample(group, arm):
    """The counters of an arm's cgroups, of the load's and of the cores, with the time in us."""
    return {"at_us": time.monotonic_ns() / 1000,
            "proxy": of_cgroup(os.path.join(group, arm)),
            "napi": of_cgroup(os.path.join(group, arm + "-napi")),
            "load_napi": of_cgroup(os.path.join(group, "load-napi")),
            "cores": of_cores()}


def idle_percent_busy(core, seconds, group):
    """How much of the core is in use while nothing is measured and by nobody: clocks, interrupts. All that
    strangers ran meanwhile, wherever, is left out, for it is not there in every window."""
    strangers = of_others(group)
    began, before = time.monotonic(), of_cores()[core]
    time.sleep(seconds)
    wall = (time.monotonic() - began) * 1e6
    after = of_cores()[core]
    return idle_percent(wall, sum(after) - sum(before), of_others(group) - strangers)


def idle_percent(wall_us, idle_us, strangers_us):
    return max(0.0, 100 * (wall_us - idle_us - strangers_us) / wall_us)


def wait_for_quiet(cores, seconds):
    """Until nobody else works: a fifth of a second in which each core was idle for nine tenths. False
    when the time was up before."""
    end = time.monotonic() + seconds
    while True:
        before = of_cores()
        time.sleep(0.2)
        after = of_cores()
        if all(after[core][0] - before[core][0] >= 180_000 for core in cores):
            return True
        if time.monotonic() >= end:
            return False
