"""The JSON of a run: what is in it, and the flat metrics that goals, compare and report read.

format, kind; machine (machine.facts), settings, started (UTC), seconds
replay       lane R's JSON, or {"not_measured": why}
campaigns    name -> {name, arms, connections, rate_asked, blocks_counted, windows}; void windows too
self_tests   generator, offloads, steal: each with "holds"
metrics      name -> {lane, unit, median, low, high, samples}; low and high bound 95 %, null when there
             are too few samples, and are the least and the most for ticks; lower is better for all of them
"""
import json

from perf.harness import estimates
from perf.harness.lanes import DIRECT, OURS

FORMAT = 1
KIND = "millrace-perf"
# Seen from the inside of a virtual machine; more, and figures are the neighbors'.
STEAL_PERCENT_MAX = 0.1


class ResultsError(Exception):
    pass


def exact(value, lane, unit):
    return {"lane": lane, "unit": unit, "median": value, "low": value, "high": value, "samples": 1}


def lane_of(arm):
    return "X" if arm == OURS else "K"


def _replay_metrics(replay):
    found = {}
    for row in replay.get("scenarios", ()):
        name = row["scenario"]
        found[f"instructions.{name}"] = exact(row["instructions"], "R", f"instructions/{row['unit']}")
        if "ticks" in row:
            found[f"ticks.{name}"] = {"lane": "R", "unit": f"ticks/{row['unit']}",
                                      "median": row["ticks"], "low": row["ticks_least"],
                                      "high": row["ticks_most"], "samples": None}
    if replay.get("octets_per_idle_connection") is not None:
        found["octets_per_idle_connection"] = exact(replay["octets_per_idle_connection"], "R", "octets")
    return found


def _add_arms(found, campaign, blocks, fields):
    for arm in campaign["arms"]:
        for field, unit in fields:
            values = [w[field] for block in blocks for w in block[arm] if field in w]
            if values:
                found[f"{campaign['name']}.{field}.{arm}"] = {
                    "lane": lane_of(arm), "unit": unit, **estimates.median_with_interval(values)}


def _peers(campaign):
    return [arm for arm in campaign["arms"] if arm not in (OURS, DIRECT)]


def _add_ratios(found, campaign, blocks, fields):
    for peer in _peers(campaign):
        for field in fields:
            ratio = estimates.paired_ratio(blocks, OURS, peer, field)
            if ratio:
                found[f"{campaign['name']}.{field}.ratio.{peer}"] = {
                    "lane": "X, K", "unit": "ratio", **ratio}


def _add_added_latency(found, campaign, blocks):
    """What a proxy adds to the p50 of the way without it, by block, and ours against each peer's."""
    added = []
    for block in blocks:
        mean = {arm: sum(w["p50_us"] for w in block[arm]) / len(block[arm]) for arm in campaign["arms"]}
        added.append({arm: [{"added": mean[arm] - mean[DIRECT]}] for arm in mean if arm != DIRECT})
    if not added:
        return
    for arm in added[0]:
        found[f"{campaign['name']}.added_p50_us.{arm}"] = {
            "lane": lane_of(arm), "unit": "us",
            **estimates.median_with_interval([block[arm][0]["added"] for block in added])}
    for peer in _peers(campaign):
        ratio = estimates.paired_ratio(added, OURS, peer, "added")
        if ratio:
            found[f"{campaign['name']}.added_p50_us.ratio.{peer}"] = {
                "lane": "X, K", "unit": "ratio", **ratio}


def metrics(replay, campaigns):
    found = _replay_metrics(replay)
    for campaign in campaigns.values():
        blocks = estimates.whole_blocks(campaign["windows"], campaign["arms"])
        _add_arms(found, campaign, blocks, (("cpu_us", "us/request"), ("p50_us", "us"),
                                            ("p99_us", "us"), ("p999_us", "us")))
        _add_ratios(found, campaign, blocks, ("cpu_us", "p50_us", "p99_us", "p999_us"))
        if DIRECT in campaign["arms"]:
            _add_added_latency(found, campaign, blocks)
    return found


def self_tests(generator, offloads, campaigns):
    """offloads: {arm: [flags at each start, without repeats]}."""
    seen = [flags for reads in offloads.values() for flags in reads]
    ends = [flag for flags in seen for flag in flags.values()]
    stolen = [w["steal_percent"] for campaign in campaigns.values() for w in campaign["windows"]
              if not w["why_void"]]
    most = max(stolen, default=None)
    return {"generator": generator or {"holds": False, "note": "was not run"},
            "offloads": {"by_arm": offloads, "holds": bool(ends) and len(set(ends)) == 1},
            "steal": {"percent_most": most, "percent_max": STEAL_PERCENT_MAX,
                      "holds": most is not None and most < STEAL_PERCENT_MAX}}


def broken_self_tests(result):
    return [name for name, test in result["self_tests"].items() if not test["holds"]]


def write(result, path):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
        file.write("\n")


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: {error}") from error
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise ResultsError(f"{path}: not a result of perf/run")
    if found.get("format") != FORMAT:
        raise ResultsError(f"{path}: format {found.get('format')}, this program reads {FORMAT}")
    for name in ("machine", "settings", "replay", "campaigns", "self_tests", "metrics"):
        if name not in found:
            raise ResultsError(f"{path}: {name} is missing")
    return found
