"""One measured window of one arm: counters before and after, the load's figures, and a verdict."""

RATE_TOLERANCE = 0.01
# The window's ends are looked at while requests come and go.
EDGE_REQUESTS = 100
PROXY_CORE, LOAD_CORE = 0, 1
# Of a core: from here on it is what holds the rest up.
FULL_PERCENT = 95
# Whose doing it is says whether the same window again may well count.
STOLEN = "time stolen by the host"
OTHERS = "others used"


def window(arm, block, before, after, load, limits):
    """A dictionary of figures; why_void says why it does not count, and is empty when it does.

    before, after: counters.sample(), each with others_us, the CPU time of strangers until then. load:
    load.figures(). limits: rate (a second, or None when nothing was asked for), steal and others in
    percent of the two cores, idle (percent of the proxy's core in use when nothing is measured),
    proxied (false when nobody's NAPI thread must work). CPU times are in microseconds a request.
    """
    wall = after["at_us"] - before["at_us"]
    # The counters' window is a little longer than the load's.
    each = max(load["rate"] * wall / 1e6, 1)

    def spent(name, what="usage_usec"):
        return after[name][what] - before[name][what]

    def core(number):
        idle, steal = (a - b for a, b in zip(after["cores"][number], before["cores"][number]))
        return max(0.0, wall - idle - steal), steal
    (near, near_steal), (_, far_steal) = core(PROXY_CORE), core(LOAD_CORE)
    ours = spent("proxy") + spent("napi")
    found = {"arm": arm, "block": block, **load, "rate_asked": limits["rate"],
             "cpu_us": ours / each,
             "user_us": spent("proxy", "user_usec") / each,
             "system_us": spent("proxy", "system_usec") / each,
             "proxy_us": spent("proxy") / each,
             "napi_us": spent("napi") / each,
             # Everything that the core did: with the interrupts that found it idle, and with strangers.
             "core_us": max(0.0, near - limits["idle"] / 100 * wall) / each,
             "proxy_core_percent": 100 * ours / wall,
             "load_core_percent": 100 * (load["busy_fraction"] + spent("load_napi") / wall),
             "wall_us": wall,
             "stolen_us": near_steal + far_steal,
             "steal_percent": 100 * (near_steal + far_steal) / (2 * wall),
             "others_percent": 100 * (after["others_us"] - before["others_us"]) / (2 * wall)}
    found["full"] = full(found)
    found["why_void"] = _why_void(found, limits)
    return found


def full(found):
    """Which side had nothing left: "proxy", "load", "both" or "neither"."""
    sides = [name for name in ("proxy", "load") if found[f"{name}_core_percent"] >= FULL_PERCENT]
    return "both" if len(sides) == 2 else sides[0] if sides else "neither"


def is_spoiled_by_others(found):
    """Whether the host or a stranger had a part in what makes it void."""
    return any(why.startswith((STOLEN, OTHERS)) for why in found["why_void"])


def _why_void(found, limits):
    why = [f"{name}={count}" for name, count in found["errors"].items() if count]
    wanted = (limits["rate"] or 0) * found["seconds"]
    if wanted and abs(found["requests"] - wanted) > limits.get("tolerance", RATE_TOLERANCE) * wanted + \
            EDGE_REQUESTS:
        why.append(f"rate {found['rate']:.0f} is not {limits['rate']:.0f}")
    if found["steal_percent"] > limits["steal"]:
        why.append(STOLEN)
    if found["others_percent"] > limits["others"]:
        why.append(f"{OTHERS} {found['others_percent']:.0f} % of the machine")
    if found["requests"] and found["napi_us"] == 0:
        why.append("the NAPI thread did nothing")
    if not found["requests"]:
        why.append("nothing was answered")
    return why
