"""The lanes: what is connected to what, and who is measured on them.

R      perf/replay.sh: instructions of recorded exchanges, exact.
X, K   veth_lane.py: Millrace over AF_XDP and the peers over the kernel's stack, on equal veths.
"""
import json
import os
import subprocess
import tempfile

OURS = "millrace"
PEERS = ("nginx", "haproxy")
DIRECT = "router"  # the load speaks to its backend, and only the kernel forwards between them
MIRROR = "mirror"  # the same through a bare reflector over AF_XDP
REPLAY_SECONDS_MAX = 1800
# Between the reflector's name and whose rate it is asked for: "mirror@nginx".
AT_RATE_OF = "@"


def control_of(arm):
    """The reflector as an arm of its own, at the rate that this arm is asked for."""
    return f"{MIRROR}{AT_RATE_OF}{arm}"


def place_of(arm):
    """Where an arm's frames go: all controls are the one reflector."""
    return arm.partition(AT_RATE_OF)[0]


def controlled_by(arm):
    """Whose control this arm is; empty for one that is none."""
    return arm.partition(AT_RATE_OF)[2]


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
