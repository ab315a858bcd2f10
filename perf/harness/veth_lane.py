"""Lanes X and K: Millrace over AF_XDP and the peers over the kernel's stack, each behind a veth of its
own, under the same load from the same program.
"""
import dataclasses
import statistics
import time

from perf.harness import counters, estimates, generator, load, other_peers, windows
from perf.harness.lanes import DIRECT, MIRROR, OURS, PEERS, control_of, controlled_by, place_of

CORES = (windows.PROXY_CORE, windows.LOAD_CORE)
PROXIES = (OURS, *PEERS)
BULK_BYTES = 65_536
CAPACITY_CONNECTIONS = 256
# The share of its own capacity that goal 5 asks for, and whom it compares.
GOAL_SHARE, GOAL_ARMS = 0.7, (OURS, "haproxy")
# There the load's own tail is measured beside it at the same rate, so all but what it bears may be asked for.
REACHED_SHARE_MAX = 0.9
SETTLE_SECONDS = 0.03
# Busy is asked of all alike: at most this share of what the one that bears least does, for who is asked for
# more than he bears has no CPU a request to compare.
BUSY_SHARE_MAX = 0.8
# A window that the host or a stranger spoiled is measured again at once, so often in all.
TRIES_MAX = 3
# So long is the core looked at with nothing to do.
IDLE_SECONDS = 1.0


@dataclasses.dataclass(frozen=True)
class Campaign:
    """work: one for all arms, or {arm: work}. window_scale: of the settings' window."""
    name: str
    arms: tuple
    work: object
    blocks: int
    window_scale: float = 1.0
    tolerance: float = windows.RATE_TOLERANCE
    shares: dict | None = None  # of its own capacity, by arm

    def work_of(self, arm):
        return self.work[arm] if isinstance(self.work, dict) else self.work


class VethLane:
    """settings: see perf/run; lab: an open Lab; program: millrace-load."""

    def __init__(self, lab, program, settings, say):
        self._lab, self._program, self._settings, self._say = lab, program, settings, say
        self._targets = {}
        self._windows = 0
        self._idle_percent = 0.0
        self.offloads = {}  # arm -> [what was read after each start, without repeats]

    def start(self):
        """All arms, side by side."""
        for arm in (*PROXIES, DIRECT, MIRROR):
            self._say(f"  starting {arm}")
            self._targets[arm] = self._lab.start(arm)
        self._read_offloads()
        self._idle_percent = counters.idle_percent_busy(windows.PROXY_CORE, IDLE_SECONDS, self._lab.group)
        self._say(f"  core {windows.PROXY_CORE} with nothing to do: {self._idle_percent:.2f} % in use")

    def _read_offloads(self):
        flags = self._lab.offloads()
        for arm in self._targets:
            seen = self.offloads.setdefault(arm, [])
            if flags not in seen:
                seen.append(flags)

    def _sample(self, arm, strangers):
        return {**counters.sample(self._lab.group, place_of(arm)), "others_us": strangers}

    def window(self, arm, block, campaign):
        """One window of one arm, with a load that is started and stopped for it."""
        settings, work = self._settings, campaign.work_of(arm)
        self._windows += 1
        place = place_of(arm)
        running = load.Load(self._program, self._lab, place, self._targets[place], work, self._windows)
        try:
            time.sleep(settings["warm_seconds"])
            strangers = counters.of_others(self._lab.group)
            before = self._sample(arm, strangers)
            # This process was on the load's core: what it held up must not be in the window's tail.
            time.sleep(SETTLE_SECONDS)
            running.begin()
            time.sleep(settings["window_seconds"] * campaign.window_scale)
            figures = running.end()
            after = self._sample(arm, 0)
            after["others_us"] = counters.of_others(self._lab.group)
            running.stop()
        finally:
            running.close()
        found = windows.window(arm, block, before, after, figures, {
            "rate": work.rate, "tolerance": campaign.tolerance, "idle": self._idle_percent,
            "steal": settings["steal_percent_max"], "others": settings["others_percent_max"]})
        self._say(f"  {campaign.name} {block} {arm:15} {found['rate']:8,.0f}/s cpu {found['cpu_us']:6.2f} us "
                  f"p50 {found['p50_us']:6.0f} p99 {found['p99_us']:6.0f} p99.9 {found['p999_us']:6.0f} us "
                  f"core {found['proxy_core_percent']:3.0f}/{found['load_core_percent']:3.0f} %  "
                  + (f"VOID: {', '.join(found['why_void'])}" if found["why_void"] else "ok"))
        return found

    def _until_one_counts(self, arm, block, campaign, until):
        """Windows of an arm: the last counts, or nobody else's doing made it void, or it was tried often
        enough or until (time.monotonic)."""
        found = [self.window(arm, block, campaign)]
        while len(found) < TRIES_MAX and windows.is_spoiled_by_others(found[-1]) and time.monotonic() < until:
            found.append(self.window(arm, block, campaign))
        return found

    def run(self, campaign, until):
        """Blocks of A B C C B A. A block with a place whose windows are all void does not count, and another is
        measured, up to as many more as there are blocks; none begins that would end after until
        (time.monotonic), but the first. blocks_counted and out_of_time say how it ended."""
        arms = campaign.arms
        for place in map(place_of, arms):
            if place not in self._targets:
                self._targets[place] = self._lab.start(place)
        self._say(f"lanes X and K: {campaign.name}, {campaign.blocks} blocks of {' '.join(arms)} and back")
        works = {arm: campaign.work_of(arm) for arm in arms}
        found = {"name": campaign.name, "arms": list(arms), "blocks_asked": campaign.blocks,
                 "work": {arm: dataclasses.asdict(work) for arm, work in works.items()},
                 "rate_asked": {arm: work.rate for arm, work in works.items()},
                 "shares": campaign.shares, "windows": [], "out_of_time": False}
        before, longest = self._lab.stats(), 0.0
        for block in range(1, 2 * campaign.blocks + 1):
            counters.wait_for_quiet(CORES, self._settings["patience_seconds"])
            began = time.monotonic()
            if block > 1 and began + longest > until:
                found["out_of_time"] = True
                self._say(f"  out of time: {found['blocks_counted']} of {campaign.blocks} blocks count")
                break
            for arm in estimates.there_and_back(arms):
                found["windows"] += self._until_one_counts(arm, block, campaign, until)
            longest = max(longest, time.monotonic() - began)
            found["blocks_counted"] = len(estimates.whole_blocks(found["windows"], arms))
            if found["blocks_counted"] == campaign.blocks:
                break
        self._read_offloads()
        after = self._lab.stats()
        found["counters"] = {name: value - before.get(name, 0) for name, value in after.items()
                             if not name.startswith("gauge") and value != before.get(name, 0)}
        return found

    def generator_self_test(self, connections):
        """What load and backend bear with nobody but a reflector between: requests a second."""
        self._say("self-test: load and backend without a proxy, closed loop")
        # The one host of all campaigns; the head as a backend gets it from a proxy. The kernel's router
        # bears more at times, and says nothing of what the reflector's controls can be asked.
        campaign = Campaign("generator", (MIRROR,), load.Work(connections, request_head="forwarded"), 1)
        return self.window(MIRROR, 0, campaign)


def generator_verdict(reached, campaigns):
    """The self-test, of the highest rate that any open loop asked of all arms: by the reflector, by the
    busiest that the load's core was in each block, and by what the proxy that takes most was given in a
    closed loop. Shares of a proxy's own capacity are told from the load's tail by controls beside them, or
    are at most half of what it reached."""
    fixed = [campaign for campaign in campaigns.values() if not campaign.get("shares")]
    asked = max((rate for campaign in fixed for rate in campaign["rate_asked"].values() if rate), default=0)
    busiest = {}
    for campaign in fixed:
        # The arm that makes the load work most must not be missing from a block.
        whole = {found["block"] for block in estimates.whole_blocks(campaign["windows"], campaign["arms"])
                 for windows in block.values() for found in windows}
        for found in campaign["windows"]:
            if not found["why_void"] and found["block"] in whole and campaign["rate_asked"][found["arm"]] == asked:
                block = (campaign["name"], found["block"])
                busiest[block] = max(busiest.get(block, 0.0), found["load_core_percent"])
    return generator.verdict([(reached["rate"] / asked, 100 / percent) for percent in busiest.values() if percent],
                             shown_rates(campaigns.get("capacity"), asked),
                             generator=load.NAME, rate_tested=asked, rate_reached=reached["rate"],
                             through=reached["arm"], full=reached["full"])


def shown_rates(campaign, asked):
    """What each window of the closed loops that counts showed that the load is able to, against the rate
    that was asked: of the proxy that was given most."""
    if not campaign or not asked:
        return []
    rates = {arm: [w["rate"] / asked for w in campaign["windows"] if w["arm"] == arm and not w["why_void"]]
             for arm in campaign["arms"]}
    return max(rates.values(), key=lambda found: statistics.median(found) if found else 0)


def capacities(campaign):
    """{arm: requests a second at saturation}; void windows too, if there are no others."""
    found = {}
    for arm in campaign["arms"]:
        of_arm = [w for w in campaign["windows"] if w["arm"] == arm]
        counted = [w["rate"] for w in of_arm if not w["why_void"]] or [w["rate"] for w in of_arm]
        found[arm] = statistics.median(counted)
    return found


def controls(share):
    """At the share of goal 5 the reflector stands beside, at the rates of both that are compared: what load
    and lane add to a tail by themselves."""
    return tuple(control_of(arm) for arm in GOAL_ARMS) if share == GOAL_SHARE else ()


def at_share(capacity, share, blocks, reached):
    """Each proxy at that share of its own capacity, requests at random times. reached: requests a second
    that the load bears, of which nobody is asked for more than a half, or with controls nine tenths;
    shares says what came of it."""
    beside_it = controls(share)
    rate_max = reached * (REACHED_SHARE_MAX if beside_it else 1 / generator.RATIO_MIN)
    rates = {arm: min(share * capacity[arm], rate_max) for arm in PROXIES}
    work = {arm: load.Work(CAPACITY_CONNECTIONS, rate=rate, pace="poisson") for arm, rate in rates.items()}
    for control in beside_it:
        work[control] = dataclasses.replace(work[controlled_by(control)], request_head="forwarded")
    # Arrivals at random: their number has a spread of its own.
    return Campaign(f"at_{round(100 * share)}", (*PROXIES, *beside_it), work, blocks, tolerance=0.02,
                    shares={arm: rates[arm] / capacity[arm] for arm in PROXIES})


def plan(settings):
    """The campaigns in their order. What busy asks for is a wish until the capacities are known, with_what_all_bear."""
    blocks, rate = settings["blocks"], settings["rate"]
    kept = load.Work(settings["connections"], rate=rate)
    return [
        Campaign("capacity", PROXIES, load.Work(CAPACITY_CONNECTIONS), max(1, blocks * 3 // 8)),
        Campaign("cpu", (*PROXIES, MIRROR), kept, blocks),
        Campaign("busy", (*PROXIES, MIRROR),
                 load.Work(settings["connections"], rate=settings["busy_rate"]), max(1, blocks // 2)),
        Campaign("one_connection", (DIRECT, *PROXIES), load.Work(1), max(1, blocks * 3 // 4), 0.5),
        Campaign("connections", PROXIES,
                 load.Work(1_000, rate=settings["connection_rate"], one_request_each=True),
                 max(1, blocks * 3 // 4)),
        Campaign("bulk", (*PROXIES, MIRROR),
                 load.Work(16, rate=settings["bulk_rate"], response_bytes=BULK_BYTES),
                 max(1, blocks * 5 // 8), tolerance=0.03),
    ]


def with_what_all_bear(step, capacity):
    """The step, with its rate bounded by what every proxy bears if it is the busy one."""
    if step.name != "busy":
        return step
    bearable = BUSY_SHARE_MAX * min(capacity.values())
    rate = min(step.work.rate, max(1, round(bearable, -2 if bearable >= 1000 else 0)))
    return dataclasses.replace(step, work=dataclasses.replace(step.work, rate=rate))


def beside(peer, settings):
    """The CPU campaign again with one that no goal speaks of; it begins when it is wanted."""
    return Campaign(other_peers.campaign_name(peer), other_peers.arms(peer),
                    load.Work(settings["connections"], rate=settings["rate"]), settings["blocks"])


def measure(lane, settings, deadline):
    """(campaigns by name, generator self-test). deadline(share): until when (time.monotonic) so much of
    the work should be done."""
    lane.start()
    reached = lane.generator_self_test(256)
    steps = plan(settings)
    weights = [len(step.arms) * step.blocks * step.window_scale for step in steps]
    tails = settings["shares"]
    weights += [(len(PROXIES) + len(controls(share))) * settings["share_blocks"] for share in tails]
    whole, done, campaigns, capacity = sum(weights), 0.0, {}, {}
    for step, weight in zip(steps, weights):
        done += weight
        campaigns[step.name] = lane.run(with_what_all_bear(step, capacity), deadline(done / whole))
        if step.name == "capacity":
            capacity = capacities(campaigns["capacity"])
    for share, weight in zip(tails, weights[len(steps):]):
        done += weight
        step = at_share(capacity, share, settings["share_blocks"], reached["rate"])
        campaigns[step.name] = lane.run(step, deadline(done / whole))
    return campaigns, generator_verdict(reached, campaigns)
