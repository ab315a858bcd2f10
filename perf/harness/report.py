"""A result of perf/run as one HTML file without anything from outside."""
import re
import statistics

from perf.harness import generator, goals, memif_lane, other_peers, plots, results
from perf.harness.lanes import DIRECT, MIRROR, OURS, PEERS, controlled_by, place_of

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 1060px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.6em; margin-bottom: 0 } h2 { font-size: 1.15em; margin: 2em 0 .4em }
h3 { font-size: 1em; margin: 1.2em 0 .3em }
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
    steal = tests["steal"]
    said = {name: generator.said(tests[name]) for name in ("generator", "generator_memif") if name in tests}
    if "offloads" in tests:
        said["offloads"] = "; ".join(sorted({flags for reads in tests["offloads"]["by_arm"].values()
                                             for read in reads for flags in read.values()}))
    said["steal"] = ("no window counted" if steal["percent"] is None else
                      f"{steal['percent']:.3f} % of {steal['windows']} windows that counted "
                      f"(below {steal['percent_max']} %)")
    return _table(("self-test", "holds", "seen"), [
        [_cell(name), _cell("yes" if tests[name]["holds"] else "NO",
                            "met" if tests[name]["holds"] else "missed"), _cell(said[name])]
        for name in said])


NAMES = {OURS: "Millrace", "nginx": "nginx", "haproxy": "HAProxy", MIRROR: "bare reflector",
         DIRECT: "kernel router", "envoy": "Envoy", "traefik": "Traefik"}


def _name(arm):
    place, whose = NAMES.get(place_of(arm), arm), controlled_by(arm)
    return f"{place} at {_name(whose)}'s rate" if whose else place


def _rates(campaign):
    """The rate asked of all arms, or None where each has its own."""
    asked = set(campaign["rate_asked"].values())
    return asked.pop() if len(asked) == 1 else None


def _arm_rows(result, campaign, field):
    found = result["metrics"]
    return [(_name(arm), *(found[f"{campaign}.{field}.{arm}"][name] for name in ("median", "low", "high")))
            for arm in result["campaigns"].get(campaign, {"arms": []})["arms"]
            if f"{campaign}.{field}.{arm}" in found]


def _ratios(result, prefix):
    found = [(name.rsplit(".", 1)[1], metric) for name, metric in result["metrics"].items()
             if name.startswith(prefix + ".ratio.")]
    said = "; ".join(f"{metric['median']:.3f} of {_name(peer)}'s ({goals.spread_of(metric)})"
                     for peer, metric in found)
    return f"Ours is {said}." if said else ""


def _bars(result, campaign, field, unit, note):
    rows = _arm_rows(result, campaign, field)
    if not rows:
        return "<p>No block without a void window: no figure.</p>"
    return (plots.bars(note, rows, unit) +
            f'<p class="note">{esc(note)} {esc(_ratios(result, f"{campaign}.{field}"))}</p>')


def _split(result, campaign):
    """What the time of a request consists of, from windows that count."""
    parts = {"NAPI thread": "napi_us", "proxy: kernel": "system_us", "proxy: user": "user_us"}
    rows = []
    for arm in result["campaigns"].get(campaign, {"arms": []})["arms"]:
        counted = [w for w in result["campaigns"][campaign]["windows"]
                   if w["arm"] == arm and not w["why_void"] and "napi_us" in w]
        if counted:
            rows.append((_name(arm), {part: statistics.median(w[field] for w in counted)
                                      for part, field in parts.items()}))
    return plots.stack("what it consists of", rows, "us") if rows else ""


def _cpu(result):
    """CPU a request against the peers: in bars with intervals, and what it consists of."""
    body = ""
    for name, campaign in result["campaigns"].items():
        if name in ("cpu", "busy") or other_peers.is_campaign(name):
            arms = ", ".join(_name(arm) for arm in campaign["arms"])
            body += f"<h3>{esc(arms)}: {_rates(campaign) or 0:,.0f} requests a second</h3>" + _bars(
                result, name, "cpu_us", "us", "Run time of the proxy and of the NAPI thread of its veth end.")
            body += _split(result, name)
    return body + ('<p class="note">A bare reflector that sends the same frames back is what the lane takes: '
                   "the rest is the proxy's own.</p>" if body else "<p>Not measured.</p>")


def _capacity(result):
    full = "; ".join(f"{_name(arm)}: {result['metrics'][f'capacity.rate.{arm}']['full']}"
                     for arm in (OURS, *PEERS) if f"capacity.rate.{arm}" in result["metrics"])
    return _bars(result, "capacity", "rate", "/s", "Closed loop, one core for the proxy. "
                 f"Which side had nothing left: {full}.")


def _others(result):
    return ("<h3>A connection for each request</h3>" +
            _bars(result, "connections", "cpu_us", "us", "SYN, one request, FIN; connections to the backend are kept.") +
            "<h3>Large responses</h3>" +
            _bars(result, "bulk", "cycles_per_1460", "cycles",
                  "Of the core's nominal clock, for 1,460 octets of a response; a frame each on all sides.") +
            "<h3>One connection</h3>" +
            _bars(result, "one_connection", "p50_us", "us",
                  "Median latency; the kernel router stands for a way without a proxy."))


def _load_points(result, percentile):
    """{arm: [(rate, us)]} of campaigns with requests of a schedule on the usual connections."""
    series = {}
    for name, campaign in result["campaigns"].items():
        if not re.fullmatch(r"cpu|busy|at_\d+", name):
            continue
        for arm in (OURS, *PEERS):
            metric = result["metrics"].get(f"{name}.{percentile}_us.{arm}")
            if metric:
                series.setdefault(arm, []).append((campaign["rate_asked"][arm], metric["median"]))
    return series


def _shares(result):
    """What of the campaigns at shares of capacity the load itself has: its core, and its own tail."""
    found, rows = result["metrics"], []
    for name, campaign in result["campaigns"].items():
        for arm in campaign["arms"] if campaign.get("shares") else ():
            counted = [w for w in campaign["windows"] if w["arm"] == arm and not w["why_void"]]
            if not counted:
                continue
            share = campaign["shares"].get(arm)
            rows.append([_cell(name), _cell(_name(arm)), _cell(f"{campaign['rate_asked'][arm]:,.0f}", "n"),
                         _cell("" if share is None else f"{100 * share:.0f} %", "n"),
                         _cell(f"{statistics.median(w['load_core_percent'] for w in counted):.0f} %", "n"),
                         *(_cell(goals.number(statistics.median(w[field] for w in counted)), "n")
                           for field in ("p99_us", "p999_us")),
                         _cell(" and ".join(f"{found[key]['median']:.2f}" for key in (
                             f"{name}.{field}.lane_share.{arm}" for field in ("p99_us", "p999_us"))
                             if key in found), "n")])
    return "<h3>At shares of each one's own capacity</h3>" + _table(
        ("campaign", "arm", "rate", "of capacity", "load's core", "p99 us", "p99.9 us", "of which load and lane"),
        rows) if rows else ""


def _latency(result):
    """Percentiles over the rate: a colour an arm, as above, and dashes a percentile."""
    series, looks = {}, {}
    for percentile, dash in {"p50": "", "p99": "6 3", "p999": "2 3"}.items():
        for arm, points in _load_points(result, percentile).items():
            name = f"{_name(arm)} {percentile.replace('p999', 'p99.9')}"
            series[name] = points
            looks[name] = ((OURS, *PEERS).index(arm), dash)
    return plots.lines("latency by load", dict(sorted(series.items())), "requests a second", "us",
                       x_logarithmic=True, y_logarithmic=True, looks=looks) + \
        '<p class="note">From the time at which a request was meant to leave. At 10,000 and 30,000 a second '\
        "requests leave at even distances, at shares of each proxy's own capacity at random times: a line that "\
        "falls where the two meet is the difference between them.</p>" + _shares(result)


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


def _connections(result):
    """What a request takes the proxy over the number of connections, in lane M."""
    main, crowd = (result["campaigns"].get(name) for name in ("memif", "memif_crowd"))
    series = {}
    if main and main.get("sweep"):
        series["all, closed loop"] = [(w["connections"], w["proxy_ns"])
                                          for w in main["sweep"] if not w["why_void"]]
    for kind, name in (("asking", "all, fixed rate"), ("idle", "1,000 beside idle")):
        for count in [memif_lane.FEW, *crowd["crowds"]] if crowd else ():
            arm = f"{kind}_{'few' if count == memif_lane.FEW else count}"
            found = result["metrics"].get(f"memif_crowd.{arm}.proxy_ns")
            if found:
                series.setdefault(name, []).append((count, found["median"]))
    series = {name: points for name, points in series.items() if points}
    return plots.lines("cost against connections", series, "connections", "ns a request", x_logarithmic=True) + \
        '<p class="note">Over memif, by the proxy\'s own busy time. At a fixed rate a core that is not full takes few '\
        "requests at a time, each of which then costs more: compare along a line.</p>" \
        if series else "<p>Not measured.</p>"


def _memif(result):
    """Lane M's arms: what a request takes the proxy and the load, and which side was full."""
    found, rows = result["metrics"], []
    for campaign in result["campaigns"].values():
        if campaign.get("lane") != "M":
            continue
        for arm in campaign["arms"]:
            near, far, p50 = (found.get(f"{campaign['name']}.{arm}.{field}")
                              for field in ("proxy_ns", "load_ns", "p50_us"))
            if near:
                rows.append([_cell(arm), _cell(goals.number(1e9 / near["median"]), "n"),
                             _cell(goals.number(near["median"]), "n"), _cell(goals.spread_of(near), "n"),
                             _cell(goals.number(far["median"]), "n"), _cell(goals.number(p50["median"]), "n"),
                             _cell(near.get("note", ""))])
    return _table(("arm", "a second of busy core", "near ns", "95 %", "load ns", "p50 us", "which side was full"),
                  rows) if rows else "<p>Not measured.</p>"


def _void(result):
    rows = []
    for campaign in result["campaigns"].values():
        for window in campaign["windows"]:
            if window["why_void"]:
                rows.append([_cell(campaign["name"]), _cell(window["block"], "n"), _cell(window["arm"]),
                             _cell(f"{window['cpu_us']:.2f}", "n"), _cell(f"{window['rate']:,.0f}", "n"),
                             _cell(", ".join(window["why_void"]))])
    whole = sum(len(campaign["windows"]) for campaign in result["campaigns"].values())
    return (f"<details><summary>{len(rows)} of {whole}</summary>" +
            _table(("campaign", "block", "arm", "CPU us", "rate", "why"), rows) +
            "</details>") if rows else "<p>None.</p>"


def page(result):
    sections = (("Goals", _goals), ("Self-tests", _self_tests), ("CPU against peers", _cpu),
                ("Throughput against peers", _capacity),
                ("Latency by load", _latency), ("Connections, bulk and a single connection", _others),
                ("Instructions by room", lambda r: _instructions(r, "by_room")),
                ("Instructions by stage of a turn", lambda r: _instructions(r, "by_stage")),
                ("Cost against routes", _routes), ("Cost against connections", _connections),
                ("Memory to memory (lane M)", _memif),
                ("Windows that do not count", _void),
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
