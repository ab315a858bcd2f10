"""Whether the load was able to do more than it was asked for. Pure arithmetic, no machine in it.

Three bounds, each as a multiple of the rate that was tested:

reflector   what the load bears with a bare reflector in the proxy's place, asking the same hosts, with
            heads as long as a proxy makes them. Too kind where a proxy makes the load's work dearer: bursts
            are smaller, acknowledgments come apart from text.
worked      1 / the share of the tested windows themselves in which the load worked. Nothing that the proxy
            does is missing in it; too hard where more work at once is cheaper.
shown       what the load did through a proxy in the same run, in a closed loop that it was not held back in.
            Nothing at all is supposed in it; too hard where the proxy was full first.

The last two are below the truth, so that the larger of them is nearer to it; the first may be above.
The verdict is the smaller of the first and that.
"""
import statistics

RATIO_MIN = 2
BOUNDS = ("reflector", "worked", "shown")
SAID = {"reflector": "through a bare reflector", "worked": "by the time that it worked",
        "shown": "by what it did through a proxy"}


def verdict(pairs, shown=(), **facts):
    """pairs: [(ratio by the reflector, ratio by the share that was worked)], one a block; shown: ratios, one a
    window, or none where no proxy can take more than the rate tested; facts go along.

    The medians are taken over blocks, because a host's slow minutes would otherwise be held against one
    side alone.
    """
    if not pairs:
        return {"holds": False, "note": "no window of both the reflector and the tested rate counts", **facts}
    found = dict(facts)
    for name, ratios in zip(BOUNDS, (*zip(*pairs), shown)):
        if not ratios:
            continue
        found[f"ratio_{name}"] = statistics.median(ratios)
        found[f"ratio_{name}_least"], found[f"ratio_{name}_most"] = min(ratios), max(ratios)
    least = max((name for name in BOUNDS[1:] if f"ratio_{name}" in found), key=lambda name: found[f"ratio_{name}"])
    found["bound"] = min(("reflector", least), key=lambda name: found[f"ratio_{name}"])
    found["ratio"] = found[f"ratio_{found['bound']}"]
    return {**found, "blocks": len(pairs), "holds": found["ratio"] >= RATIO_MIN}


def said(test):
    """One line for people; of results that knew one bound as well."""
    if "ratio" not in test:
        return test.get("note", "")
    tested = f"the rate tested, {test['rate_tested']:,.0f} a second"
    if "bound" not in test:
        return f"{test['ratio']:.2f} times {tested} (through a bare reflector; needs {RATIO_MIN})"
    each = ", ".join(
        f"{test[f'ratio_{name}']:.2f} ({test[f'ratio_{name}_least']:.2f} to {test[f'ratio_{name}_most']:.2f}) {SAID[name]}"
        for name in BOUNDS if f"ratio_{name}" in test)
    return f"able to {each} times {tested}; {test['ratio']:.2f} counts, needs {RATIO_MIN}; {test['blocks']} " + \
        ("block" if test["blocks"] == 1 else "blocks")
