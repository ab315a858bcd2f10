"""The goals of docs/performance.md as rows: goal, measured, spread, verdict."""
from perf.harness import generator, results

MET, MISSED = "met", "missed"
NEEDS_M = "needs lane M (two processes over memif)"
NEEDS_CROWD = "needs lane M's rows with so many connections (perf/run --full for the million)"
NEEDS_BLOCKS = "needs whole blocks with both"
SHARE_MIN = 0.69  # of its own capacity, for "at 70 %"
# Of a tail, what load and lane may have by themselves at the same rate before it is no longer the proxy's.
LANE_SHARE_MAX = 0.5


def number(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def _row(goal, text, lane, measured="", spread="", verdict=""):
    return {"goal": goal, "text": text, "lane": lane, "measured": measured, "spread": spread,
            "verdict": verdict}


def not_measured(goal, text, lane, needs, remark=""):
    return _row(goal, text, lane, remark, "", f"not measured: {needs}")


def spread_of(metric):
    if metric["low"] is None:
        return f"{metric['samples']} sample" + ("s" if metric["samples"] != 1 else "")
    if metric["low"] == metric["high"]:
        return "exact"
    return f"{number(metric['low'])} to {number(metric['high'])}"


def at_most(goal, text, metric, limit, note=""):
    """met only when the whole interval is within the limit: a lucky median is no proof."""
    if metric["low"] is None:
        return not_measured(goal, text, metric["lane"], "needs at least 3 blocks without a void window",
                            number(metric["median"]))
    verdict = MET if metric["high"] <= limit else MISSED
    if verdict == MISSED and metric["median"] <= limit:
        note = "the interval reaches over the limit" + (f"; {note}" if note else "")
    return _row(goal, text, metric["lane"], number(metric["median"]), spread_of(metric),
                verdict + (f" ({note})" if note else ""))


def _measured_or(goal, text, lane, metric, limit, needs, note=""):
    return at_most(goal, text, metric, limit, note) if metric else \
        not_measured(goal, text, lane, needs)


def at_least_rate(goal, text, metric, rate_min, needs):
    """From a cost in ns: so many a second of the core's busy time."""
    if not metric:
        return not_measured(goal, text, "M", needs)
    rate = {**metric, "median": 1e9 / metric["median"],
            "low": metric["high"] and 1e9 / metric["high"], "high": metric["low"] and 1e9 / metric["low"]}
    if rate["low"] is None:
        return not_measured(goal, text, "M", "needs at least 3 windows that count", number(rate["median"]))
    note = metric.get("note", "")
    return _row(goal, text, "M", number(rate["median"]), spread_of(rate),
                (MET if rate["low"] >= rate_min else MISSED) + (f" ({note})" if note else ""))


def _memif(goal, text, found, name, limit, needs=NEEDS_M):
    metric = found.get(name)
    return _measured_or(goal, text, "M", metric, limit, needs, (metric or {}).get("note", ""))


def _crowds(found):
    """What many connections take, of the most that were measured: 100,000, or the million."""
    yield _memif("7", "1,000,000 idle and 100,000 requests a second within 400 MB", found,
                 "memif_crowd.together_mb", 400, NEEDS_CROWD)
    for count in (100_000, 1_000_000):
        yield _memif("7", f"octets an idle connection at most 256, {count:,} of them", found,
                     f"memif_crowd.octets_per_connection_{count}", 256, NEEDS_CROWD)
        yield _memif("7", f"{count:,} that ask in turn: time at most 1/0.7 of that with 1,000", found,
                     f"memif_crowd.asking_{count}.time_ratio", 1 / 0.7, NEEDS_CROWD)


def _better_peer(found, name="cpu.cpu_us.ratio"):
    """The ratio against the peer that costs least: the larger of the ratios."""
    ratios = [found[f"{name}.{peer}"] for peer in ("nginx", "haproxy") if f"{name}.{peer}" in found]
    return max(ratios, key=lambda metric: metric["median"]) if len(ratios) == 2 else None


def _ratio(found, above, below):
    """Of two figures of lane R. Their spreads are not paired, so the widest that they allow is taken."""
    if above not in found or below not in found:
        return None
    a, b = found[above], found[below]
    return {"lane": "R", "unit": "ratio", "median": a["median"] / b["median"],
            "low": a["low"] / b["high"], "high": a["high"] / b["low"], "samples": a["samples"]}


def _routes(found):
    """Instructions from the fewest routes to 10,000, which is the gate, and to the million."""
    needs = "needs lane R's rows with routes"
    for routes in (10_000, 1_000_000):
        name = f"routes_{routes}"
        yield _measured_or("8", f"10 to {routes:,} routes: instructions at most 1.2x", "R",
                           _ratio(found, f"instructions.{name}", "instructions.keepalive_64"), 1.2, needs)
        yield _measured_or("8", f"10 to {routes:,} routes: time at most 2.5x", "R",
                           _ratio(found, f"ticks.{name}", "ticks.keepalive_64"), 2.5, needs)


def _whole_core_note(found):
    """The same goal by all that the core did: what no cgroup sees must not decide."""
    ratio = _better_peer(found, "cpu.core_us.ratio")
    return f"{number(ratio['median'])} with interrupts of the idle core" if ratio else ""


def _busy_note(result):
    """What was asked for, which a slow peer bounds: no more than the row above asks for is not busy."""
    asked = {name: max(filter(None, result["campaigns"].get(name, {}).get("rate_asked", {}).values()), default=0)
             for name in ("cpu", "busy")}
    return f"at {number(asked['busy'])} a second" + \
        (", no busier than the row above" if asked["busy"] <= asked["cpu"] else "")


def _capacity_note(result):
    found = result["metrics"]
    shares = result["campaigns"].get("at_70", {}).get("shares") or {}
    short = [f"{arm} only at {100 * share:.0f} %, for the load bears no more" for arm, share in shares.items()
             if share < SHARE_MIN]
    rates = [(arm, found[f"capacity.rate.{arm}"]) for arm in ("millrace", "haproxy")
             if f"capacity.rate.{arm}" in found]
    return "; ".join(short + [f"{arm} bears {number(metric['median'])} a second, {metric['full']} full"
                              for arm, metric in rates])


def _lane_note(found, field, arm):
    share = found.get(f"at_70.{field}.lane_share.{arm}")
    return f"load and lane alone have {number(share['median'])} of {arm}'s at its rate" if share else ""


def _void_note(campaign):
    """Who spoiled the blocks, most first."""
    void = [w["arm"] for w in campaign.get("windows", ()) if w["why_void"]]
    return ", ".join(f"{arm} {void.count(arm)}" for arm in sorted(set(void), key=lambda arm: (-void.count(arm), arm)))


def _tail(text_of_goal, result, field, limit):
    """Of no account where either is not at 70 % of its own capacity, for the load bears no more; and where
    the verdict could be the load's doing, whose own tail is measured at both rates. What it adds to ours can
    only make us miss, what it adds to HAProxy's can only help us."""
    found = result["metrics"]
    ratio = found.get(f"at_70.{field}.ratio.haproxy")
    shares = result["campaigns"].get("at_70", {}).get("shares") or {}
    notes = [_lane_note(found, field, arm) for arm in ("millrace", "haproxy")]
    note = "; ".join(filter(None, (*notes, _capacity_note(result))))
    void = _void_note(result["campaigns"].get("at_70", {}))
    needs = NEEDS_BLOCKS + (f"; void windows: {void}" if void else "")
    row = _measured_or("5", text_of_goal, "X, K", ratio, limit, needs, note)
    if not ratio or row["verdict"].startswith("not measured"):
        return row
    doubted = "haproxy" if row["verdict"].startswith(MET) else "millrace"
    share = found.get(f"at_70.{field}.lane_share.{doubted}")
    if any(shares.get(arm, 0) < SHARE_MIN for arm in ("millrace", "haproxy")) or \
            (share and share["median"] > LANE_SHARE_MAX):
        return not_measured("5", text_of_goal, "X, K", note, row["measured"])
    return row


def _bulk_rows(found):
    """In cycles of the nominal clock: of all that the lane takes, and of ours alone."""
    needs = "needs whole blocks of bulk"
    whole, peer = (found.get(f"bulk.cycles_per_1460.{arm}") for arm in ("millrace", "nginx"))
    note = f"nginx {number(peer['median'])}; a frame each, no segmentation offload" if peer else ""
    yield _measured_or("9", "cycles for 1,460 octets, with the veth's, at most 300", "X", whole, 300, needs,
                       note)
    yield _measured_or("9", "cycles for 1,460 octets, our own part, at most 300", "X",
                       found.get("bulk.own_cycles_per_1460.millrace"), 300, needs,
                       "less two reflector pairs")


def rows(result):
    found = result["metrics"]
    keepalive = found.get("instructions.keepalive_1_logged")
    yield _measured_or("1", "instructions a keep-alive request at most 6,000", "R", keepalive, 6000,
                       "needs lane R's keepalive_1_logged", "with a record for the access log")
    yield at_least_rate("2", "requests a second and core at least 1.0 M",
                        found.get("memif.capacity.proxy_ns"), 1e6, NEEDS_M)
    yield _measured_or("3", "CPU a request at most 1/2 of the better of nginx and HAProxy", "X, K",
                       _better_peer(found), 0.5, "needs whole blocks with both peers",
                       _whole_core_note(found))
    yield _measured_or("3", "the same at a rate where proxies hardly sleep (busy)", "X, K",
                       _better_peer(found, "busy.cpu_us.ratio"), 0.5,
                       "needs whole blocks with both peers", _busy_note(result))
    yield _measured_or("3", "our own part (less two reflector pairs) at most 1/8 of that", "X, K",
                       _better_peer(found, "cpu.own_us.ratio"), 1 / 8, "needs whole blocks with both peers")
    yield _memif("4", "added p50, one connection, at most 3 us", found, "memif.added_p50_us", 3)
    yield _measured_or("4", "added p50, one connection, at most 1/3 of HAProxy's", "X, K",
                       found.get("one_connection.added_p50_us.ratio.haproxy"), 1 / 3,
                       "needs whole blocks of one_connection in which HAProxy adds time")
    yield _tail("p99 at 70 % of own capacity at most 1/3 of HAProxy's", result, "p99_us", 1 / 3)
    yield _tail("p99.9 the same, at most 1/5", result, "p999_us", 1 / 5)
    yield at_least_rate("6", "new connections a second and core at least 400,000",
                        found.get("memif.new_connections.proxy_ns"), 4e5, NEEDS_M)
    yield _measured_or("6", "CPU a connection (SYN, request, FIN) at most 1/2 of nginx's", "X, K",
                       found.get("connections.cpu_us.ratio.nginx"), 1 / 2, NEEDS_BLOCKS)
    yield _measured_or("7", "octets of tables for one more idle connection at most 256", "R",
                       found.get("octets_per_idle_connection"), 256, "needs lane R's idle rows",
                       "the process's are lane M's rows")
    yield from _crowds(found)
    yield from _routes(found)
    for routes in (10_000, 1_000_000):
        yield _memif("8", f"10 to {routes:,} routes: time at most 2.5x", found,
                     f"memif.routes_{routes}.time_ratio", 2.5)
    bulk = found.get("ticks.bulk_response")
    if "memif.bulk.ticks_per_segment" not in found and bulk:
        yield not_measured("9", "cycles for 1,460 octets proxied at most 300", "M", NEEDS_M,
                           f"{number(bulk['median'])} ticks in lane R")
    else:
        yield _memif("9", "cycles for 1,460 octets proxied at most 300", found,
                     "memif.bulk.ticks_per_segment", 300)
    yield from _bulk_rows(found)


def text(result):
    lines = [f"{'#':2} {'goal':66} {'lane':11} {'measured':>24} {'spread':>18}  verdict"]
    for row in rows(result):
        lines.append(f"{row['goal']:2} {row['text']:66} {row['lane']:11} {row['measured']:>24} "
                     f"{row['spread']:>18}  {row['verdict']}")
    return "\n".join(lines)


def main(path):
    result = results.read(path)
    print(text(result))
    broken = results.broken_self_tests(result)
    print()
    for name, lane in (("generator", "lanes X and K"), ("generator_memif", "lane M")):
        if name in result["self_tests"]:
            print(f"generator of {lane}: {generator.said(result['self_tests'][name])}")
    steal = result["self_tests"]["steal"]
    if steal["percent"] is not None:
        print(f"steal: {steal['percent']:.3f} % of {steal['windows']} windows that count")
    print("self-tests: " + (f"BROKEN: {', '.join(broken)}" if broken else "hold"))
    return 1 if broken else 0
