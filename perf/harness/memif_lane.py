"""Lane M, memory to memory: the data plane on one core, client and backend on the other, no kernel on
the way. Also the bare reflector in the data plane's place, which says what the lane costs by itself.
"""
import os
import statistics
import subprocess
import time

from perf.harness import counters, generator, memif_figures
from perf.harness.memif_box import BoxError, FrameLoad, MemifBox, host_count, memory, scheduled

NEAR_CORE, FAR_CORE = 0, 1
# What a backend gets through the data plane, for the reflector to send back.
AS_FORWARDED = ("--request-head", "forwarded")
BULK_BYTES, BULK_CONNECTIONS = 262_144, 16
FEW = 1_000  # connections that many are compared with
ROUTES = 10
CONNECTIONS_MAX = 16_384  # the data plane's default
# Addresses of the client's, for new connections and for a million.
PORTS_PER_ADDRESS = 64_000
NEW_CONNECTION_ADDRESSES = 4
CONNECT_RATE = 200_000
# Of the capacity: an open loop over all connections. What waits for memory at each request does not get
# quicker where the capacity does, and must not fill the core.
ASKING_SHARE = 0.15
# Where a host moves its cores every few seconds: a void window is measured again at once, and before
# it the cores are waited for a while.
TRIES_MAX = 3
RETURN_SECONDS_MAX = 3.0


def with_hosts(routes):
    return ("--host-count", str(host_count(routes)))


class Arm:
    """What stands at the near end and what the load does. routes None: the reflector."""

    def __init__(self, load, routes=ROUTES, connections_max=CONNECTIONS_MAX, rate=None, memory_too=False):
        self.load, self.routes, self.connections_max = load, routes, connections_max
        self.rate, self.memory_too = rate, memory_too


def main_arms(connections, big_tables):
    """connections: of the closed loops."""
    closed = ("--connections", str(connections))
    one = ("--connections", "1")
    # The reflector beside the capacity, which the self-test compares: the same hosts, and heads as a
    # backend gets them. A client alone asks with its own head, in one_reflected too.
    arms = {"one_reflected": Arm(one + with_hosts(ROUTES), None),
            "one": Arm(one + with_hosts(ROUTES)),
            "reflector": Arm(closed + with_hosts(ROUTES) + AS_FORWARDED, None),
            "capacity": Arm(closed + with_hosts(ROUTES)),
            "new_connections": Arm(closed + with_hosts(ROUTES) + (
                "--lifetime", "request", "--client-address-count", str(NEW_CONNECTION_ADDRESSES))),
            "bulk": Arm(("--connections", str(BULK_CONNECTIONS), "--response-bytes", str(BULK_BYTES))
                        + with_hosts(ROUTES))}
    for routes in big_tables:
        arms[f"routes_{routes}"] = Arm(closed + with_hosts(routes), routes)
    return arms


def crowd_arms(crowds, rate):
    """Many connections against few: silent beside some that ask in a closed loop, and all asking in
    turn at a fixed rate, which leaves none in a cache."""
    def asking(count):
        return ("--connections", str(count), "--schedule", f"constant:{rate}")
    # With a limit made for it as well: what a table for 16,384 takes must not be taken off the others.
    arms = {"idle_few": Arm(("--connections", str(FEW)), connections_max=2 * FEW + FEW // 10, memory_too=True),
            "asking_few": Arm(asking(FEW), rate=rate)}
    for count in crowds:
        room = ("--client-address-count", str(count // PORTS_PER_ADDRESS + 2),
                "--connect-rate", str(CONNECT_RATE))
        limit = count + count // 10 + FEW
        arms[f"idle_{count}"] = Arm(("--connections", str(FEW), "--idle-connections", str(count)) + room,
                                    connections_max=limit, memory_too=True)
        arms[f"asking_{count}"] = Arm(asking(count) + room, connections_max=limit, rate=rate)
    return arms


def together_arm(idle, rate):
    """So many idle ones, and the rate beside them: how much memory that takes."""
    return Arm(("--connections", "64", "--schedule", f"constant:{rate}", "--idle-connections", str(idle),
                "--client-address-count", str(idle // PORTS_PER_ADDRESS + 2),
                "--connect-rate", str(CONNECT_RATE)),
               connections_max=idle + idle // 10 + FEW, rate=rate, memory_too=True)


class MemifLane:
    """programs: {"dataplane", "load", "make_table": path}; settings: see perf/run."""

    def __init__(self, programs, settings, say):
        self._settings, self._say, self._load = settings, say, None
        self._distance_program = programs["core_distance"]
        self._box = MemifBox(programs, NEAR_CORE, FAR_CORE)

    def close(self):
        self._box.close()

    def distance(self):
        """ns for a cache line to the other core and back. A hypervisor that moves virtual cores changes
        it by a factor, and with it what everything here takes."""
        done = subprocess.run([self._distance_program, str(NEAR_CORE), str(FAR_CORE)],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise BoxError(done.stderr.strip())
        return float(done.stdout)

    def _wait_for_usual(self, windows):
        """Until the cores are as far apart as usual, RETURN_SECONDS_MAX at most."""
        end = time.monotonic() + RETURN_SECONDS_MAX
        while windows and time.monotonic() < end and \
                memif_figures.is_elsewhere(self.distance(), memif_figures.usual_distance(windows)):
            time.sleep(0.05)

    def _until_one_counts(self, name, arm, block, windows, until):
        """Windows of an arm, appended and told: the first that counts is the last."""
        longest = 0.0
        for attempt in range(TRIES_MAX):
            began = time.monotonic()
            if attempt and began + longest > until:
                return
            if attempt:
                self._wait_for_usual(windows)
            windows.append(self.window(name, arm, block))
            memif_figures.settle(windows)
            self._tell(windows[-1])
            longest = max(longest, time.monotonic() - began)
            if not windows[-1]["why_void"]:
                return

    def _read(self, near):
        steal = [counters.of_cores()[core][1] for core in (NEAR_CORE, FAR_CORE)]
        return {"at_ns": time.monotonic_ns(), "near": scheduled(near.pid)[1],
                "far": scheduled(self._load.pid)[1], "steal_us": sum(steal)}

    def window(self, name, arm, block):
        """One window, with both ends started for it."""
        settings = self._settings
        quiet = counters.wait_for_quiet((NEAR_CORE, FAR_CORE), settings["patience_seconds"]) \
            if settings["patience_seconds"] else False
        distances = [self.distance()]
        reflects = arm.routes is None
        near = self._box.start_reflector() if reflects else \
            self._box.start_data_plane(arm.routes, arm.connections_max)
        try:
            self._load = self._box.start_load(*arm.load, through_proxy=not reflects)
            time.sleep(settings["warm_seconds"])
            if reflects:
                near.begin()
            else:
                counted_before = near.counters()
            before = self._read(near)
            self._load.begin()
            time.sleep(settings["window_seconds"])
            figures = self._load.end()
            after = self._read(near)
            side = memif_figures.reflector_side(near.end()) if reflects else \
                memif_figures.near_side(counted_before, near.counters())
            held = memory(near.pid) if arm.memory_too else None
        finally:
            self._box.stop()
        distances.append(self.distance())
        kernel = {**self._kernel(before, after), "distances_ns": distances}
        found = memif_figures.window(name, block, figures, side, kernel,
                                     {"others": settings["others_percent_max"],
                                      "steal": settings["steal_percent_max"], "rate": arm.rate})
        found["quiet_before"] = quiet
        if held:
            found.update(pss_octets=held["pss"], rss_octets=held["rss"])
        return found

    @staticmethod
    def _kernel(before, after):
        wall = after["at_ns"] - before["at_ns"]
        return {"wall_ns": wall, "near_waited_ns": after["near"] - before["near"],
                "far_waited_ns": after["far"] - before["far"],
                "stolen_us": after["steal_us"] - before["steal_us"]}

    def _tell(self, w):
        """Once it is settled: what is usual may still change, with what counts."""
        self._say(f"  block {w['block']} {w['arm']:16} {w['rate']:9,.0f}/s "
                  f"near {w['proxy_ns']:6.0f} ns {w['proxy_busy_percent']:3.0f} % "
                  f"load {w['load_ns']:6.0f} ns {w['load_busy_percent']:3.0f} % p50 {w['p50_us']:8.1f} us "
                  f"cores {'/'.join(f'{ns:.0f}' for ns in w['distances_ns'])} ns  "
                  + (f"VOID: {', '.join(w['why_void'])}" if w["why_void"] else "ok"))

    def campaign(self, name, arms, blocks, until, **facts):
        """Blocks of one window an arm that counts (a void one is measured again, TRIES_MAX at most), there and
        back by turns, until every arm has as many, at most twice as many; none begins that would end after
        until (time.monotonic), but the first."""
        self._say(f"lane M: {name}, {blocks} blocks of {' '.join(arms)}")
        found = {"name": name, "lane": "M", "arms": list(arms), "rate_asked": None,
                 "windows": [], "out_of_time": False, **facts}
        longest = 0.0
        for block in range(1, 2 * blocks + 1):
            began = time.monotonic()
            if block > 1 and began + longest > until:
                found["out_of_time"] = True
                self._say(f"  out of time after {block - 1} of {blocks} blocks")
                break
            for arm in memif_figures.rounds(arms, block):
                self._until_one_counts(arm, arms[arm], block, found["windows"], until)
            longest = max(longest, time.monotonic() - began)
            found["blocks_counted"] = min(len(memif_figures.of_arm(found, arm, "rate")) for arm in arms)
            if found["blocks_counted"] >= blocks:
                break
        return found

    def best_connections(self, until):
        """(how many, their windows): of the sweep, what the data plane answers fastest with."""
        sweep = self._settings["sweep"]
        self._say(f"lane M: how many connections, of {', '.join(map(str, sweep))}")
        seen = {}
        for connections in sweep:
            if seen and time.monotonic() > until:
                break
            seen[connections] = self.window(f"sweep_{connections}",
                                            Arm(("--connections", str(connections)) + with_hosts(ROUTES)), 0)
            memif_figures.settle(list(seen.values()))
            self._tell(seen[connections])
        usable = [connections for connections in seen if not seen[connections]["why_void"]] or list(seen)
        return max(usable, key=lambda connections: seen[connections]["rate"]), list(seen.values())


def measure(programs, settings, say, until):
    """({name: campaign}, generator's self-test) of lane M. programs: {"dataplane", "load", "make_table",
    "core_distance": path}. settings: sweep (connections of the closed loop to choose from), blocks, window_seconds,
    warm_seconds, patience_seconds, others_percent_max, steal_percent_max, big_tables (routes), crowds
    (connections), crowd_blocks, together (idle connections, requests a second) or None, ghz (of the time-stamp
    counter, None if nobody knows). until(share):
    when that share of the time given is over, as time.monotonic() counts."""
    lane = MemifLane(programs, settings, say)
    try:
        connections, sweep = lane.best_connections(until(0.2))
        main = lane.campaign("memif", main_arms(connections, settings["big_tables"]), settings["blocks"],
                             until(0.65 if settings["crowds"] else 1), connections=connections, sweep=sweep,
                             bulk_bytes=BULK_BYTES, ticks_per_ns=settings["ghz"])
        campaigns = {"memif": main}
        rates = memif_figures.of_arm(main, "capacity", "rate") or [sweep[-1]["rate"]]
        if settings["crowds"]:
            arms = crowd_arms(settings["crowds"], max(1000, round(ASKING_SHARE * min(rates), -3)))
            if settings["together"]:
                arms["together"] = together_arm(*settings["together"])
            campaigns["memif_crowd"] = lane.campaign(
                "memif_crowd", arms, settings["crowd_blocks"], until(1), connections=FEW,
                crowds=list(settings["crowds"]), together=settings["together"])
        return campaigns, self_test(main)
    finally:
        lane.close()


def self_test(campaign):
    """What the load is able to, through the reflector and in the capacity's own windows, against what the data
    plane is able to in the same block."""
    pairs, tested = [], []
    for windows in memif_figures.by_block(campaign):
        if "reflector" not in windows or "capacity" not in windows:
            continue
        # What the capacity's row claims, which is more than was seen where the load was full first.
        tested.append(max(windows["capacity"]["rate"], 1e9 / windows["capacity"]["proxy_ns"]))
        # By busy time, as the capacity: in a closed loop either side also waits for the other.
        pairs.append(tuple(1e9 / windows[arm]["load_ns"] / tested[-1] for arm in ("reflector", "capacity")))
    return generator.verdict(pairs, generator=FrameLoad.__name__,
                             rate_tested=statistics.median(tested) if tested else None)
