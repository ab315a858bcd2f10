"""Medians of paired ratios and how sure they are. Pure arithmetic, no clock and no machine in it."""
import random
import statistics

RESAMPLES = 4000
# With fewer pairs an interval says how few they are and not how sure one is.
PAIRS_MIN = 3


def quantile(ordered, share):
    """Linear between neighbors; ordered is ascending and not empty."""
    at = share * (len(ordered) - 1)
    below = int(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (at - below) * (ordered[above] - ordered[below])


def median_with_interval(values, seed=1):
    """{median, low, high, samples}: the median and its 95 % percentile bootstrap interval.

    The seed is fixed, so that the same samples always print the same interval. low and high are None
    below PAIRS_MIN samples.
    """
    if not values:
        raise ValueError("no samples")
    found = {"median": statistics.median(values), "low": None, "high": None, "samples": len(values)}
    if len(values) >= PAIRS_MIN:
        draw = random.Random(seed)
        medians = sorted(statistics.median(draw.choices(values, k=len(values)))
                         for _ in range(RESAMPLES))
        found["low"], found["high"] = quantile(medians, 0.025), quantile(medians, 0.975)
    return found


def paired_ratio(blocks, above, below, field):
    """The ratio above/below of each block (arms' sums within it), as median_with_interval.

    blocks: list of {arm: [window, ...]}. A block visits its arms in an order and back (A B B A), which
    cancels a drift that is linear in time; the ratio is taken within it for that reason. None without
    a block that has both.
    """
    ratios = []
    for block in blocks:
        upper, lower = ([window[field] for window in block.get(arm, ()) if field in window]
                        for arm in (above, below))
        if upper and len(upper) == len(lower) and sum(lower) > 0:
            ratios.append(sum(upper) / sum(lower))
    return median_with_interval(ratios) if ratios else None


def there_and_back(arms):
    """The order of a block: A B C C B A."""
    return list(arms) + list(reversed(arms))


def whole_blocks(windows, arms):
    """The blocks with a window that counts at each of their places, as paired_ratio takes them; void ones that
    were measured again at once are left out. A block with a hole does not cancel a drift, so it is left out as a
    whole."""
    by_block = {}
    for window in windows:
        by_block.setdefault(window["block"], []).append(window)
    wanted = sorted(there_and_back(arms))
    whole = []
    for number in sorted(by_block):
        found = [w for w in by_block[number] if not w["why_void"]]
        if sorted(w["arm"] for w in found) == wanted:
            whole.append({arm: [w for w in found if w["arm"] == arm] for arm in arms})
    return whole
