"""The JSON of a run: what is in it, and the flat metrics that goals, compare and report read.

format, kind; machine (machine.facts), settings, started (UTC), seconds
replay       lane R's JSON, or {"not_measured": why}
campaigns    name -> {name, arms, work and rate_asked by arm, blocks_counted, windows, counters (of the data
             plane, meanwhile)}; void windows too. Those of lane M say so in "lane" (memif_figures.py says
             what their windows hold)
self_tests   generator, offloads, steal: each with "holds"
metrics      name -> {lane, unit, median, low, high, samples}; low and high bound 95 %, null when there
             are too few samples, and are the least and the most for ticks; lower is better, unless it says higher_is_better
"""
import json

from perf.harness import estimates, memif_figures
from perf.harness.lanes import DIRECT, MIRROR, OURS, controlled_by, place_of

FORMAT = 1
KIND = "millrace-perf"
# Seen from the inside of a virtual machine; more, and figures are the neighbors'.
STEAL_PERCENT_MAX = 0.1


class ResultsError(Exception):
    pass


def exact(value, lane, unit):
    return {"lane": lane, "unit": unit, "median": value, "low": value, "high": value, "samples": 1}


def lane_of(arm):
    return "X" if place_of(arm) in (OURS, MIRROR) else "K"


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


FIELDS = (("cpu_us", "us/request"), ("core_us", "us/request"), ("p50_us", "us"), ("p99_us", "us"),
          ("p999_us", "us"))
# Octets of a full frame's text, the unit of bulk.
FRAME_BYTES = 1460


def _mean(windows, field):
    return sum(window[field] for window in windows) / len(windows)


def _metric(values, lane, unit):
    return {"lane": lane, "unit": unit, **estimates.median_with_interval(values)}


def _add_arms(found, campaign, blocks, fields):
    for arm in campaign["arms"]:
        for field, unit in fields:
            values = [w[field] for block in blocks for w in block[arm] if field in w]
            if values:
                found[f"{campaign['name']}.{field}.{arm}"] = _metric(values, lane_of(arm), unit)


def _peers(campaign):
    return [arm for arm in campaign["arms"] if place_of(arm) not in (OURS, DIRECT, MIRROR)]


def _add_ratios(found, campaign, blocks, fields):
    for peer in _peers(campaign):
        for field in fields:
            ratio = estimates.paired_ratio(blocks, OURS, peer, field)
            if ratio:
                found[f"{campaign['name']}.{field}.ratio.{peer}"] = {
                    "lane": "X, K", "unit": "ratio", **ratio}


def _add_lane_shares(found, campaign, blocks, fields):
    """How much of a figure load and lane have by themselves, at the same rate through the reflector."""
    for control in campaign["arms"]:
        arm = controlled_by(control)
        for field in fields if arm else ():
            share = estimates.paired_ratio(blocks, control, arm, field)
            if share:
                found[f"{campaign['name']}.{field}.lane_share.{arm}"] = {
                    "lane": lane_of(arm), "unit": "ratio", **share}


def _add_added_latency(found, campaign, blocks):
    """What a proxy adds to the p50 of the way without it, by block, and ours against each peer's."""
    added = []
    for block in blocks:
        mean = {arm: _mean(block[arm], "p50_us") for arm in campaign["arms"]}
        added.append({arm: [{"added": mean[arm] - mean[DIRECT]}] for arm in mean if arm != DIRECT})
    if not added:
        return
    for arm in added[0]:
        found[f"{campaign['name']}.added_p50_us.{arm}"] = _metric(
            [block[arm][0]["added"] for block in added], lane_of(arm), "us")
    for peer in _peers(campaign):
        ratio = estimates.paired_ratio(added, OURS, peer, "added")
        if ratio:
            found[f"{campaign['name']}.added_p50_us.ratio.{peer}"] = {
                "lane": "X, K", "unit": "ratio", **ratio}


def _add_own_part(found, campaign, blocks):
    """Ours less what a bare reflector takes for the same frames, which are two pairs a request, beside
    each peer's whole."""
    own = [_mean(block[OURS], "cpu_us") - _mean(block[MIRROR], "cpu_us") for block in blocks]
    if not own:
        return
    found[f"{campaign['name']}.own_us.{OURS}"] = _metric(own, "X", "us/request")
    for peer in _peers(campaign):
        found[f"{campaign['name']}.own_us.ratio.{peer}"] = _metric(
            [part / _mean(block[peer], "cpu_us") for part, block in zip(own, blocks)], "X, K", "ratio")


def _add_bulk(found, campaign, blocks, ghz):
    """Time of the core for each full frame's text that went through, in cycles of its nominal clock."""
    for arm in campaign["arms"]:
        frames = campaign["work"][arm]["response_bytes"] / FRAME_BYTES
        for field, name in (("cpu_us", "cycles_per_1460"), ("own", "own_cycles_per_1460")):
            if field == "own" and arm != OURS:
                continue
            values = [(_mean(block[arm], "cpu_us") -
                       (_mean(block[MIRROR], "cpu_us") if field == "own" else 0)) * 1e3 * ghz / frames
                      for block in blocks]
            if values:
                found[f"{campaign['name']}.{name}.{arm}"] = _metric(values, lane_of(arm), "cycles/1460 octets")


def _add_capacity(found, campaign, blocks):
    for arm in campaign["arms"]:
        counted = [w for block in blocks for w in block[arm]]
        if counted:
            found[f"capacity.rate.{arm}"] = {
                **_metric([w["rate"] for w in counted], lane_of(arm), "requests/s"),
                "higher_is_better": True, "full": _most_common([w["full"] for w in counted])}
    for peer in _peers(campaign):
        ratio = estimates.paired_ratio(blocks, OURS, peer, "rate")
        if ratio:
            found[f"capacity.rate.ratio.{peer}"] = {"lane": "X, K", "unit": "ratio",
                                                    "higher_is_better": True, **ratio}


def _most_common(values):
    return max(sorted(set(values)), key=values.count)


def metrics(replay, campaigns, ghz=None):
    """ghz: of the cores' nominal clock, without which nothing is given in cycles."""
    found = _replay_metrics(replay)
    for name, campaign in campaigns.items():
        if campaign.get("lane") == "M":
            found.update(memif_figures.metrics(campaign))
            continue
        blocks = estimates.whole_blocks(campaign["windows"], campaign["arms"])
        _add_arms(found, campaign, blocks, FIELDS)
        _add_ratios(found, campaign, blocks, [field for field, _ in FIELDS])
        _add_lane_shares(found, campaign, blocks, ("p50_us", "p99_us", "p999_us"))
        if DIRECT in campaign["arms"]:
            _add_added_latency(found, campaign, blocks)
        if MIRROR in campaign["arms"] and OURS in campaign["arms"]:
            _add_own_part(found, campaign, blocks)
        if name == "bulk" and ghz:
            _add_bulk(found, campaign, blocks, ghz)
        if name == "capacity":
            _add_capacity(found, campaign, blocks)
    return found


def _steal(campaigns):
    """Of all windows that count together: one tick of the clock is much of a short window alone."""
    counted = [w for campaign in campaigns.values() for w in campaign["windows"] if not w["why_void"]]
    wall = sum(w["wall_us"] for w in counted)
    percent = 100 * sum(w["stolen_us"] for w in counted) / (2 * wall) if wall else None
    return {"percent": percent, "percent_max": STEAL_PERCENT_MAX, "windows": len(counted),
            "holds": percent is not None and percent < STEAL_PERCENT_MAX}


def self_tests(generator, offloads, campaigns, memif_generator=None, with_veths=True):
    """offloads: {arm: [flags at each look, without repeats]}. memif_generator: lane M's, if it ran.
    with_veths: lanes X and K were not left out, so their tests belong to the run whether they ran or not."""
    seen = [flags for reads in offloads.values() for flags in reads]
    ends = [flag for flags in seen for flag in flags.values()]
    veths = {"generator": generator or {"holds": False, "note": "was not run"},
             "offloads": {"by_arm": offloads, "holds": bool(ends) and len(set(ends)) == 1}}
    steal = _steal(campaigns)
    # Lane R counts instructions, of which no host can steal any.
    if not with_veths and not campaigns:
        steal["holds"] = True
    return {**(veths if with_veths else {}),
            **({"generator_memif": memif_generator} if memif_generator else {}),
            "steal": steal}


def broken_self_tests(result):
    return [name for name, test in result["self_tests"].items() if not test["holds"]]


def write(result, path):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
        file.write("\n")


# What goals, compare and report take for granted, as far as a damaged or edited file may lack it.
SECTIONS = ("machine", "settings", "replay", "campaigns", "self_tests", "metrics")
MEMBERS = {"campaigns": {"name": str, "arms": list, "windows": list}, "self_tests": {"holds": bool},
           "metrics": {"lane": str, "unit": str, "median": (int, float)}}
OF_METRICS = ("low", "high", "samples")  # may be null


def _misshapen(found):
    """What is wrong first, by its place in the file; None when nothing is."""
    for section in SECTIONS:
        if not isinstance(found.get(section), dict):
            return f"{section} is missing or no object"
    for section, wanted in MEMBERS.items():
        for name, entry in found[section].items():
            for member, kind in wanted.items():
                if not isinstance(entry, dict) or not isinstance(entry.get(member), kind):
                    return f"{section}.{name}.{member} is missing or of another kind"
            for member in OF_METRICS if section == "metrics" else ():
                if not isinstance(entry.get(member, ""), (int, float, type(None))):
                    return f"{section}.{name}.{member} is missing or of another kind"
    if not isinstance(found["machine"].get("commit"), str):
        return "machine.commit is missing"
    for member in ("percent", "windows"):
        if member not in found["self_tests"].get("steal", {}):
            return f"self_tests.steal.{member} is missing"
    return None


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ResultsError(f"{path}: {error}") from error
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise ResultsError(f"{path}: not a result of perf/run")
    if found.get("format") != FORMAT:
        raise ResultsError(f"{path}: format {found.get('format')}, this program reads {FORMAT}")
    problem = _misshapen(found)
    if problem:
        raise ResultsError(f"{path}: {problem}")
    return found
