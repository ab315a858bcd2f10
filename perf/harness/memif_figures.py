"""What lane M's windows come to. Pure arithmetic, no clock and no machine in it.

The near end spins, so the kernel says 100 % of its core whatever it does. Its own account counts: the
time of turns in which something moved (worker_busy_ns of the data plane, busy_fraction of
millrace-load). A capacity is requests by such time; with the core full it is the rate itself, and when
the load is full first it is what the rate would be, on the safe side: small bursts cost more a request.
"""
import statistics

from perf.harness import estimates

SEGMENT_OCTETS = 1460
FULL_PERCENT = 95.0
# Noise of the look at the cores is a few percent; a move is a factor of five.
DISTANCE_FACTOR_MAX = 1.5
# Of an open loop. A window of half a second ends in the middle of some burst.
RATE_TOLERANCE = 0.05
MOVED = "the host had the cores elsewhere"
WINDOWS_MIN = 3
# By errors' names; a retransmission is none, but with a ring that is never overrun there is no reason
# for one.
LOSSES = ("retransmits", "frames_dropped")


def near_side(before, after):
    """{requests, turns, busy_ns} of the data plane between two readings of its counters."""
    def grown(name):
        return after[name] - before[name]
    return {"requests": grown("proxy_requests"), "turns": grown("worker_busy_turns"),
            "busy_ns": grown("worker_busy_ns"),
            "own_answers": grown("proxy_local_replies_4xx") + grown("proxy_local_replies_5xx"),
            "connects": grown("proxy_upstream_connects")}


def reflector_side(figures):
    """The same of a reflector; a request through it is two frames there and two back."""
    return {"frames": figures["reflect"]["frames"],
            "busy_ns": figures["busy_fraction"] * figures["window_s"] * 1e9}


def window(arm, block, load, near, kernel, limits):
    """One window. load: figures of millrace-load; near: near_side or reflector_side; kernel: {wall_ns,
    near_waited_ns, far_waited_ns, stolen_us, distances_ns (before and after)}; limits: {others, steal} in
    percent, {rate} or None."""
    wall_us = kernel["wall_ns"] / 1000
    answered = max(load["responses_ok"], 1)
    rate = load["responses_ok"] / load["window_s"]
    found = {"arm": arm, "block": block, "requests": load["responses_ok"],
             "seconds": load["window_s"], "rate": rate, "connections": load["connections_open"],
             "load_ns": load["busy_fraction"] * load["window_s"] * 1e9 / answered,
             "load_busy_percent": 100 * load["busy_fraction"],
             "wall_us": wall_us, "stolen_us": kernel["stolen_us"],
             "steal_percent": 100 * kernel["stolen_us"] / (2 * wall_us), "distances_ns": kernel["distances_ns"],
             "others_percent": 100 * max(kernel["near_waited_ns"], kernel["far_waited_ns"])
                               / kernel["wall_ns"],
             "losses": {name: load[name] for name in LOSSES if load[name]},
             **{f"{name}_us": load["latency_ns"][name] / 1000
                for name in ("p50", "p99", "p999", "mean", "max")}}
    if "frames" in near:
        found["frame_pair_ns"] = near["busy_ns"] / max(near["frames"], 1)
        found["proxy_ns"] = near["busy_ns"] / answered
    else:
        found["proxy_ns"] = near["busy_ns"] / max(near["requests"], 1)
        found["requests_a_turn"] = near["requests"] / max(near["turns"], 1)
        found["connects_a_request"] = near["connects"] / max(near["requests"], 1)
    found["proxy_busy_percent"] = found["proxy_ns"] * rate / 1e7
    found["cpu_us"] = found["proxy_ns"] / 1000
    found["why_void"] = _why_void(found, load, near, limits)
    return found


def _why_void(found, load, near, limits):
    why = [f"{name}={count}" for name, count in load["errors"].items()]
    if near.get("own_answers"):
        why.append(f"{near['own_answers']} answers of the proxy's own")
    if not load["responses_ok"]:
        why.append("no answer")
    if near.get("requests") == 0 or near.get("frames") == 0:
        why.append("the near end did nothing")
    wanted = limits.get("rate")
    if wanted and abs(found["rate"] - wanted) > RATE_TOLERANCE * wanted:
        why.append(f"rate {found['rate']:.0f} is not {wanted:.0f}")
    if found["others_percent"] > limits["others"]:
        why.append("others used the machine")
    if found["steal_percent"] > limits["steal"]:
        why.append("time stolen by the host")
    return why


def usual_distance(windows):
    """In ns, where the cores are for the windows that count: of the places in which each arm has
    WINDOWS_MIN windows the one where the load works least, which is where the lane adds least to what is
    measured; before there is one, where most windows are."""
    arms = {w["arm"] for w in windows}
    found = []
    for distance in sorted({distance for w in windows for distance in w["distances_ns"]}):
        there = [w for w in windows if not any(is_elsewhere(d, distance) for d in w["distances_ns"])]
        work = {arm: [w["load_ns"] for w in there if w["arm"] == arm and _has_no_other_fault(w)] for arm in arms}
        whole = all(len(times) >= WINDOWS_MIN for times in work.values())
        # Relative to the least of each arm, so that the longest does not decide alone.
        least = {arm: min(w["load_ns"] for w in windows if w["arm"] == arm) or 1 for arm in arms}
        effort = sum(statistics.mean(times) / least[arm] for arm, times in work.items()) if whole else 0
        found.append((not whole, effort if whole else -len(there), distance))
    best = min(found)[:2]
    return statistics.median(distance for *rank, distance in found if tuple(rank) == best)


def _has_no_other_fault(window):
    return all(reason.startswith(MOVED) for reason in window["why_void"])


def is_elsewhere(distance, usual):
    return max(distance, usual) > DISTANCE_FACTOR_MAX * min(distance, usual)


def settle(windows):
    """Makes those void that were measured with the cores elsewhere than usual, and those valid again
    that this was the only fault of: what is usual is known better with every window."""
    usual = usual_distance(windows)
    for found in windows:
        why = [reason for reason in found["why_void"] if not reason.startswith(MOVED)]
        for distance in found["distances_ns"]:
            if is_elsewhere(distance, usual):
                why.append(f"{MOVED}: {distance:.0f} ns apart, usually {usual:.0f}")
                break
        found["why_void"] = why


def rounds(arms, block):
    """The arms' order in a block: there in odd ones, back in even ones, against drift."""
    return list(arms) if block % 2 else list(reversed(arms))


def counted(campaign):
    return [w for w in campaign["windows"] if not w["why_void"]]


def of_arm(campaign, arm, field):
    return [w[field] for w in counted(campaign) if w["arm"] == arm and field in w]


def by_block(campaign):
    """Of each block {arm: window} of the windows that count."""
    blocks = {}
    for found in counted(campaign):
        blocks.setdefault(found["block"], {})[found["arm"]] = found
    return list(blocks.values())


def paired(campaign, above, below, field, combine):
    """combine(above, below) of every block that has a window of both that counts."""
    return [combine(block[above][field], block[below][field]) for block in by_block(campaign)
            if above in block and below in block and field in block[above] and field in block[below]]


def side_note(campaign, arm):
    """Which side was full."""
    near, far = (of_arm(campaign, arm, field) for field in ("proxy_busy_percent", "load_busy_percent"))
    if not near:
        return ""
    near, far = statistics.median(near), statistics.median(far)
    if near >= FULL_PERCENT:
        said = "the proxy's core was full"
    elif far >= FULL_PERCENT:
        said = "the load was full first: by the proxy's busy time"
    else:
        said = "neither core was full: by the proxy's busy time"
    apart = usual_distance([w for w in counted(campaign) if w["arm"] == arm])
    return (f"{said}; busy: proxy {min(near, 100):.0f} %, load {min(far, 100):.0f} %; "
            f"cores {apart:.0f} ns apart")


def _metric(unit, values, note=""):
    found = {"lane": "M", "unit": unit, **estimates.median_with_interval(values)}
    return {**found, "note": note} if note else found


def ticks_per_segment(proxy_ns, response_bytes, ticks_per_ns):
    return proxy_ns * ticks_per_ns * SEGMENT_OCTETS / response_bytes


def metrics(campaign):
    """{name: metric} of a campaign of lane M, lower is better for all. Which arms it has decides."""
    found, name = {}, campaign["name"]

    def add(what, unit, values, note=""):
        if values:
            found[f"{name}.{what}"] = _metric(unit, values, note)

    for arm in campaign["arms"]:
        unit = "ns/connection" if arm == "new_connections" else "ns/request"
        add(f"{arm}.proxy_ns", unit, of_arm(campaign, arm, "proxy_ns"), side_note(campaign, arm))
        add(f"{arm}.load_ns", unit, of_arm(campaign, arm, "load_ns"))
        add(f"{arm}.p50_us", "us", of_arm(campaign, arm, "p50_us"))
    add("frame_pair_ns", "ns/frame pair", of_arm(campaign, "reflector", "frame_pair_ns"),
        side_note(campaign, "reflector"))
    add("added_p50_us", "us", paired(campaign, "one", "one_reflected", "p50_us", lambda a, b: a - b))
    for more in ("routes_10000", "routes_1000000"):
        add(f"{more}.time_ratio", "ratio", paired(campaign, more, "capacity", "proxy_ns",
                                                  lambda a, b: a / b))
    for count in campaign.get("crowds", ()):
        for kind in ("idle", "asking"):
            add(f"{kind}_{count}.time_ratio", "ratio",
                paired(campaign, f"{kind}_{count}", f"{kind}_few", "proxy_ns", lambda a, b: a / b))
        # Both with their own limits, so that the tables are in it.
        add(f"octets_per_connection_{count}", "octets",
            paired(campaign, f"idle_{count}", "idle_few", "pss_octets",
                   lambda a, b, count=count: (a - b) / count))
        add(f"memory_{count}_mb", "MB",
            [octets / 1e6 for octets in of_arm(campaign, f"idle_{count}", "rss_octets")])
    add("together_mb", "MB", [octets / 1e6 for octets in of_arm(campaign, "together", "rss_octets")])
    if "bulk" in campaign["arms"] and campaign["ticks_per_ns"]:
        add("bulk.ticks_per_segment", "ticks/1,460 octets",
            [ticks_per_segment(value, campaign["bulk_bytes"], campaign["ticks_per_ns"])
             for value in of_arm(campaign, "bulk", "proxy_ns")], side_note(campaign, "bulk"))
    return found
