"""One measured window of one arm: counters before and after, the load's figures, and a verdict."""

RATE_TOLERANCE = 0.005
# The two looks at the count are taken while requests come and go.
EDGE_REQUESTS = 10
# Not unsent: the stop itself leaves some. Too many of them show in the rate.
MUST_BE_ZERO = ("failed", "wrong_backend", "broken")
PROXY_CORE, OTHER_CORE = 0, 1


def window(arm, block, before, after, load, limits, proxied=True):
    """A dictionary of figures; why_void says why it does not count, and is empty when it does.

    before, after: counters.sample(), each with the requests answered until then. limits: rate (requests
    a second or None when nothing was asked for), steal and others in percent of the two cores.
    CPU times are in microseconds a request.
    """
    wall = after["at_us"] - before["at_us"]
    requests = after["requests"] - before["requests"]
    each = max(requests, 1)

    def spent(name, what="usage_usec"):
        return after[name][what] - before[name][what]

    def core(number):
        idle, steal = (a - b for a, b in zip(after["cores"][number], before["cores"][number]))
        return max(0.0, wall - idle - steal), steal
    (near, near_steal), (far, far_steal) = core(PROXY_CORE), core(OTHER_CORE)
    known = spent("proxy") + spent("napi") + spent("rest")
    found = {"arm": arm, "block": block, "requests": requests, "seconds": wall / 1e6,
             "rate": requests / wall * 1e6,
             "cpu_us": (spent("proxy") + spent("napi")) / each,
             "user_us": spent("proxy", "user_usec") / each,
             "system_us": spent("proxy", "system_usec") / each,
             "napi_us": spent("napi") / each,
             "core_us": near / each,
             "load_core_percent": 100 * far / wall,
             "steal_percent": 100 * (near_steal + far_steal) / (2 * wall),
             "others_percent": max(0.0, 100 * (near + far - known) / (2 * wall)),
             **{name: load[name] for name in ("p50_us", "p99_us", "p999_us", "mean_us", "max_us")
                if name in load}}
    found["why_void"] = _why_void(found, load, limits, proxied)
    return found


def _why_void(found, load, limits, proxied):
    why = [f"{name}={load[name]:.0f}" for name in MUST_BE_ZERO if load.get(name)]
    wanted = (limits["rate"] or 0) * found["seconds"]
    if wanted and abs(found["requests"] - wanted) > RATE_TOLERANCE * wanted + EDGE_REQUESTS:
        why.append(f"rate {found['rate']:.0f} is not {limits['rate']:.0f}")
    if found["steal_percent"] > limits["steal"]:
        why.append("time stolen by the host")
    if found["others_percent"] > limits["others"]:
        why.append("others used the machine")
    if proxied and found["napi_us"] == 0:
        why.append("the NAPI thread did nothing")
    return why
