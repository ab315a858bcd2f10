"""How long a run will take. Pure arithmetic: what a window takes beside its own length was timed once.

Estimates are for a quiet machine. Where windows are void their blocks are measured again, until the
lane's own bound (seconds_max of perf/run's modes) is reached.
"""
from perf.harness import memif_lane, other_peers, veth_lane

# Seconds for each window: the load starts, connects, ends; the kernel's counters are read.
VETH_WINDOW_SECONDS, MEMIF_WINDOW_SECONDS = 0.22, 0.9
VETH_START_SECONDS = 12
# For each thousand connections of a crowd: they are opened, and the data plane's tables for them made.
CROWD_SECONDS = 0.008
# For each thousand routes: the table is written, read and checked at each start.
ROUTES_SECONDS = 0.0005
# Lane R: of all scenarios under callgrind, then for each repetition without it.
REPLAY_SECONDS, REPLAY_REPEAT_SECONDS, REPLAY_SCENARIO_SECONDS = 35, 1.1, 4


def of_replay(settings):
    scenarios = settings["replay_scenarios"]
    if scenarios:
        return REPLAY_SCENARIO_SECONDS * len(scenarios)
    return REPLAY_SECONDS + REPLAY_REPEAT_SECONDS * settings["replay_times"]


def of_memif(mode):
    """mode: of lane M, as perf/run has it."""
    each = mode["window"] + mode["warm"] + MEMIF_WINDOW_SECONDS
    windows = len(mode["sweep"]) + mode["blocks"] * len(memif_lane.main_arms(64, mode["big_tables"]))
    extra = mode["blocks"] * sum(mode["big_tables"]) / 1000 * ROUTES_SECONDS
    if mode["crowds"]:
        windows += mode["crowd_blocks"] * (len(memif_lane.crowd_arms(mode["crowds"], 1)) + bool(mode["together"]))
        crowded = 2 * sum(mode["crowds"]) + (mode["together"][0] if mode["together"] else 0)
        extra += mode["crowd_blocks"] * crowded / 1000 * CROWD_SECONDS
    return windows * each + extra


def of_veths(settings, peers):
    """peers: how many beside those of the goals."""
    def of_step(arms, blocks, scale):
        return blocks * 2 * arms * (settings["window_seconds"] * scale + settings["warm_seconds"] +
                                    VETH_WINDOW_SECONDS)
    steps = [(len(step.arms), step.blocks, step.window_scale) for step in veth_lane.plan(settings)]
    steps += [(len(veth_lane.PROXIES) + len(veth_lane.controls(share)), settings["share_blocks"], 1)
              for share in settings["shares"]]
    steps += [(len(other_peers.arms("")), settings["blocks"], 1)] * peers
    return VETH_START_SECONDS + sum(of_step(*step) for step in steps)


def text(seconds):
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{seconds:.0f} s"
