"""A result of perf/run as one HTML file without anything from outside."""
import re

from perf.harness import goals, other_peers, plots, results
from perf.harness.lanes import OURS, PEERS

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 1060px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.6em; margin-bottom: 0 } h2 { font-size: 1.15em; margin: 2em 0 .4em }
table { border-collapse: collapse; font-size: .9em } th, td { padding: .25em .7em; text-align: left;
border-bottom: 1px solid #ddd; vertical-align: top } td.n { text-align: right; white-space: nowrap }
.met { color: #2c7a2c } .missed { color: #b02a2a } .none, .note { color: #666 } .wide { overflow-x: auto }
svg { max-width: 100%; height: auto } svg text { font-size: 12.5px; fill: #222 } svg text.small { font-size: 11.5px }
svg .grid { stroke: #ddd } svg .interval { stroke: #000; stroke-width: 1.5 }
"""
esc = plots.esc


def _table(heading, rows):
    head = "".join(f"<th>{esc(cell)}</th>" for cell in heading)
    return (f'<div class="wide"><table><tr>{head}</tr>' + "".join(
        "<tr>" + "".join(rows_cell for rows_cell in row) + "</tr>" for row in rows) + "</table></div>")


def _cell(text, css=""):
    return f'<td class="{css}">{esc(text)}</td>'


def _goals(result):
    rows = []
    for row in goals.rows(result):
        css = row["verdict"].split(" ")[0] if row["verdict"].startswith(("met", "missed")) else "none"
        rows.append([_cell(row["goal"]), _cell(row["text"]), _cell(row["lane"]),
                     _cell(row["measured"], "n"), _cell(row["spread"], "n"), _cell(row["verdict"], css)])
    return _table(("#", "goal", "lane", "measured", "spread", "verdict"), rows)


def _facts(result):
    machine = result["machine"]
    rows = [(name, ", ".join(value) if isinstance(value, list) else value)
            for name, value in machine.items()]
    rows += [("settings", ", ".join(f"{name} {value}" for name, value in result["settings"].items()
                                    if not isinstance(value, list)))]
    return _table(("fact", "value"), [[_cell(name), _cell(value)] for name, value in rows])


def _self_tests(result):
    tests = result["self_tests"]
    generator, steal = tests["generator"], tests["steal"]
    said = {"generator": (f"{generator['ratio']:.2f} times the tested rate (needs 2): "
                          f"{generator['rate_reached']:,.0f} a second without a proxy"
                          if "ratio" in generator else generator.get("note", "")),
            "offloads": "; ".join(sorted({flags for reads in tests["offloads"]["by_arm"].values()
                                          for read in reads for flags in read.values()})),
            "steal": ("no window counted" if steal["percent_most"] is None else
                      f"at most {steal['percent_most']:.3f} % in a window that counted "
                      f"(below {steal['percent_max']} %)")}
    return _table(("self-test", "holds", "seen"), [
        [_cell(name), _cell("yes" if tests[name]["holds"] else "NO",
                            "met" if tests[name]["holds"] else "missed"), _cell(said[name])]
        for name in said])


def _cpu(result):
    """CPU a request against the peers: in bars with intervals, a picture for each campaign."""
    return "".join(_cpu_of(result["metrics"], campaign) for name, campaign in result["campaigns"].items()
                   if name == "cpu" or other_peers.is_campaign(name))


def _cpu_of(found, campaign):
    prefix = f"{campaign['name']}.cpu_us."
    rows = [(arm, *(found[prefix + arm][name] for name in ("median", "low", "high")))
            for arm in campaign["arms"] if prefix + arm in found]
    if not rows:
        return f"<p>{esc(', '.join(campaign['arms']))}: no block without a void window, no figure.</p>"
    ratios = [f"{name.rsplit('.', 1)[1]}: {metric['median']:.3f} ({goals.spread_of(metric)})"
              for name, metric in found.items() if name.startswith(prefix + "ratio.")]
    return (plots.bars("CPU a request", rows, "us") +
            f'<p class="note">Run time of the proxy and of the NAPI thread of its veth end, at '
            f'{campaign["rate_asked"]:,} requests a second. Our ratio to {esc("; ".join(ratios))}.</p>')


def _latency(result):
    """Percentiles over the rate: a colour an arm, as above, and dashes a percentile."""
    found, series = result["metrics"], {}
    for campaign in result["campaigns"].values():
        if not campaign["rate_asked"] or other_peers.is_campaign(campaign["name"]):
            continue
        for arm in campaign["arms"]:
            for percentile in ("p50_us", "p99_us", "p999_us"):
                metric = found.get(f"{campaign['name']}.{percentile}.{arm}")
                if metric:
                    series.setdefault(f"{arm} {percentile.removesuffix('_us')}", []).append(
                        (campaign["rate_asked"], metric["median"]))
    arms, dashes = (OURS, *PEERS), {"p50": "", "p99": "6 3", "p999": "2 3"}
    looks = {f"{arm} {percentile}": (number, dash) for number, arm in enumerate(arms)
             for percentile, dash in dashes.items()}
    return plots.lines("latency by load", dict(sorted(series.items())), "requests a second", "us",
                       y_logarithmic=True, looks=looks)


def _instructions(result, split, scenarios=("keepalive_1", "keepalive_64", "connection_64")):
    rows = [(row["scenario"], row[split]) for row in result["replay"].get("scenarios", ())
            if row["scenario"] in scenarios]
    return plots.stack(split, rows, "") if rows else \
        f"<p>Not measured: {esc(result['replay'].get('not_measured', 'no such scenario'))}.</p>"


def _routes(result):
    found = {row["scenario"]: row for row in result["replay"].get("scenarios", ())}
    series = {"instructions": [], "ticks": []}
    for name, row in found.items():
        if name == "keepalive_64" or re.fullmatch(r"routes_\d+", name):
            for field in series:
                value = row["instructions"] if field == "instructions" else row.get("ticks")
                if value:
                    series[field].append((row["routes"], value))
    series = {name: points for name, points in series.items() if points}
    return plots.lines("cost against routes", series, "routes", "a request", x_logarithmic=True)


def _void(result):
    rows = []
    for campaign in result["campaigns"].values():
        for window in campaign["windows"]:
            if window["why_void"]:
                rows.append([_cell(campaign["name"]), _cell(window["block"], "n"), _cell(window["arm"]),
                             _cell(f"{window['cpu_us']:.2f}", "n"), _cell(f"{window['rate']:,.0f}", "n"),
                             _cell(", ".join(window["why_void"]))])
    return _table(("campaign", "block", "arm", "CPU us", "rate", "why"), rows) if rows else "<p>None.</p>"


def page(result):
    sections = (("Goals", _goals), ("Self-tests", _self_tests), ("CPU against peers", _cpu),
                ("Latency by load", _latency),
                ("Instructions by room", lambda r: _instructions(r, "by_room")),
                ("Instructions by stage of a turn", lambda r: _instructions(r, "by_stage")),
                ("Cost against routes", _routes), ("Windows that do not count", _void),
                ("Machine and settings", _facts))
    body = "".join(f"<section><h2>{esc(name)}</h2>{make(result)}</section>" for name, make in sections)
    broken = results.broken_self_tests(result)
    warning = (f'<p class="missed">Self-tests broken: {esc(", ".join(broken))}. '
               "The figures prove nothing.</p>" if broken else "")
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Millrace performance</title>'
            f"<style>{STYLE}</style></head><body><h1>Millrace performance</h1>"
            f'<p class="note">{esc(result["machine"]["commit"])}, {esc(result["started"])}, '
            f'{esc(result["machine"]["cpu"])}, Linux {esc(result["machine"]["kernel"])}</p>'
            f"{warning}{body}</body></html>\n")


def write(result, path):
    with open(path, "w", encoding="utf-8") as file:
        file.write(page(result))
