"""Two results of perf/run, metric by metric."""
from perf.harness import machine, results

# Counts repeat to the instruction, but a compiler's whim is no news.
EXACT_TOLERANCE = 0.002


def change(before, after):
    """(ratio, verdict): a change is one when the intervals do not touch; without intervals nobody can
    tell."""
    ratio = after["median"] / before["median"] if before["median"] else None
    if None in (before["low"], before["high"], after["low"], after["high"]):
        return ratio, "unsure: too few samples"
    if before["low"] == before["high"] and after["low"] == after["high"]:
        if ratio is not None and abs(ratio - 1) <= EXACT_TOLERANCE:
            return ratio, "same"
    higher = before.get("higher_is_better", False)
    if after["high"] < before["low"]:
        return ratio, "WORSE" if higher else "better"
    if after["low"] > before["high"]:
        return ratio, "better" if higher else "WORSE"
    return ratio, "within the spread"


def interval(before, after):
    """The widest ratio that both intervals allow, or an empty text."""
    if not before["low"] or not before["high"] or after["low"] is None or after["high"] is None:
        return ""
    return f"{after['low'] / before['high']:.3f} to {after['high'] / before['low']:.3f}"


def main(first, second, force=False):
    before, after = results.read(first), results.read(second)
    differs = machine.same_kind(before["machine"], after["machine"])
    if differs:
        print(f"different machines: {', '.join(differs)}" + ("" if force else "; --force compares them"))
        if not force:
            return 1
    for side, result in (("before", before), ("after", after)):
        broken = results.broken_self_tests(result)
        print(f"{side:6} {result['machine']['commit']}"
              + (f"  self-tests BROKEN: {', '.join(broken)}" if broken else ""))
    print(f"\n{'metric':44} {'before':>10} {'after':>10} {'ratio':>7} {'interval':>16}  verdict")
    for name in sorted(set(before["metrics"]) | set(after["metrics"])):
        if name not in before["metrics"] or name not in after["metrics"]:
            where = "after" if name in after["metrics"] else "before"
            print(f"{name:44} only {where}")
            continue
        old, new = before["metrics"][name], after["metrics"][name]
        ratio, verdict = change(old, new)
        print(f"{name:44} {old['median']:10.2f} {new['median']:10.2f} "
              f"{'' if ratio is None else format(ratio, '.3f'):>7} {interval(old, new):>16}  {verdict}")
    return 0
