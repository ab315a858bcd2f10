"""Plots as inline SVG: grouped bars with intervals, stacked bars, and lines over a logarithmic axis."""
import html
import math

COLOURS = ("#1f5fa8", "#c8641b", "#4b8b3b", "#8b4f9f", "#8a8a2c", "#b03a48", "#3a8f96", "#777777",
           "#5b4636", "#d09c2c")
CRUMB = 0.01  # of a bar; less cannot be seen
WIDTH, ROW, LEFT, RIGHT = 760, 24, 170, 150


def esc(text):
    return html.escape(str(text))


def short(value):
    if value >= 1e6:
        return f"{value / 1e6:g} M"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _svg(height, body, title):
    return (f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">'
            f'<title>{esc(title)}</title>{"".join(body)}</svg>')


def _text(x, y, text, anchor="start", css=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{css}">{esc(text)}</text>'


def bars(title, rows, unit):
    """rows: [(label, value, low, high)]; low and high may be None."""
    most = max((row[3] or row[1] for row in rows), default=0) or 1
    scale = (WIDTH - LEFT - RIGHT) / most
    body = []
    for index, (label, value, low, high) in enumerate(rows):
        y = 8 + index * ROW
        body.append(_text(LEFT - 8, y + 14, label, "end"))
        body.append(f'<rect x="{LEFT}" y="{y}" width="{max(value * scale, 0):.1f}" height="16" '
                    f'fill="{COLOURS[index % len(COLOURS)]}"/>')
        end = LEFT + max(value, high or 0) * scale
        if low is not None and high > low:
            body.append(f'<path d="M{LEFT + low * scale:.1f} {y + 8}H{LEFT + high * scale:.1f}" '
                        'class="interval"/>')
        body.append(_text(end + 6, y + 14, f"{short(value)} {unit}"))
    return _svg(16 + len(rows) * ROW, body, title)


def _without_crumbs(rows):
    """Parts too small to be seen, and those beyond the colours, become one named "other"."""
    most = {}
    for _, values in rows:
        whole = sum(values.values()) or 1
        for part, value in values.items():
            most[part] = max(most.get(part, 0), value / whole)
    kept = sorted((part for part in most if most[part] >= CRUMB), key=most.get,
                  reverse=True)[:len(COLOURS) - 1]
    found = []
    for label, values in rows:
        other = sum(value for part, value in values.items() if part not in kept)
        found.append((label, {**{part: values[part] for part in kept if part in values},
                              **({"other": other} if other else {})}))
    return found


def stack(title, rows, unit):
    """rows: [(label, {part: value})]. One colour a part, in the order of the first row that has it."""
    rows = _without_crumbs(rows)
    parts = list(dict.fromkeys(part for _, values in rows for part in values))
    most = max((sum(values.values()) for _, values in rows), default=0) or 1
    scale = (WIDTH - LEFT - RIGHT) / most
    body = []
    for index, (label, values) in enumerate(rows):
        y, x = 8 + index * ROW, float(LEFT)
        body.append(_text(LEFT - 8, y + 14, label, "end"))
        for part, value in values.items():
            colour = COLOURS[parts.index(part) % len(COLOURS)]
            body.append(f'<rect x="{x:.1f}" y="{y}" width="{value * scale:.1f}" height="16" '
                        f'fill="{colour}"><title>{esc(part)}: {short(value)}</title></rect>')
            x += value * scale
        body.append(_text(x + 6, y + 14, f"{short(sum(values.values()))} {unit}"))
    y, x = 8 + len(rows) * ROW + 8, 10.0
    for number, part in enumerate(parts):
        width = 26 + 7.2 * len(part)
        if x + width > WIDTH:
            x, y = 10.0, y + 18
        body.append(f'<rect x="{x:.1f}" y="{y}" width="11" height="11" '
                    f'fill="{COLOURS[number % len(COLOURS)]}"/>')
        body.append(_text(x + 15, y + 10, part, "start", "small"))
        x += width
    return _svg(y + 22, body, title)


def _decades(low, high):
    return [10.0 ** power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]


def lines(title, series, x_label, y_label, x_logarithmic=False, y_logarithmic=False, looks=None):
    """series: {name: [(x, y)]}, all above 0. The vertical axis begins at 0 unless logarithmic.
    looks: {name: (colour number, dashes of SVG or an empty text)}, else a colour each."""
    points = [point for found in series.values() for point in found]
    if not points:
        return "<p>no figures</p>"
    height, top, bottom, left, right = 300, 14, 44, 70, 160

    def axis(values, logarithmic, begin, end):
        if logarithmic:
            ticks = _decades(min(values), max(values))
            if len(ticks) == 1:
                ticks.append(ticks[0] * 10)
            low, span = math.log10(ticks[0]), math.log10(ticks[-1] / ticks[0])
            return ticks, lambda v: begin + (math.log10(v) - low) / span * (end - begin)
        most = max(values) * 1.08
        step = 10 ** math.floor(math.log10(most))
        step = next(step * part for part in (0.1, 0.2, 0.5, 1, 2) if most / (step * part) <= 8)
        return ([step * i for i in range(int(most / step) + 1)],
                lambda v: begin + v / most * (end - begin))
    x_ticks, to_x = axis([x for x, _ in points], x_logarithmic, left, WIDTH - right)
    y_ticks, to_y = axis([y for _, y in points], y_logarithmic, height - bottom, top)
    body = []
    for tick in y_ticks:
        body.append(f'<path d="M{left} {to_y(tick):.1f}H{WIDTH - right}" class="grid"/>')
        body.append(_text(left - 6, to_y(tick) + 4, short(tick), "end", "small"))
    for tick in x_ticks:
        body.append(_text(to_x(tick), height - bottom + 16, short(tick), "middle", "small"))
    body.append(_text((left + WIDTH - right) / 2, height - 8, x_label, "middle", "small"))
    body.append(_text(left, 9, y_label, "start", "small"))
    for number, (name, found) in enumerate(series.items()):
        look, dashes = (looks or {}).get(name, (number, ""))
        colour = COLOURS[look % len(COLOURS)]
        path = "L".join(f"{to_x(x):.1f} {to_y(y):.1f}" for x, y in sorted(found))
        body.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2" '
                    f'stroke-dasharray="{dashes}"/>')
        body += [f'<circle cx="{to_x(x):.1f}" cy="{to_y(y):.1f}" r="3" fill="{colour}"/>'
                 for x, y in found]
        body.append(f'<path d="M{WIDTH - right + 10} {top + 6 + number * 18}h24" stroke="{colour}" '
                    f'stroke-width="3" stroke-dasharray="{dashes}"/>')
        body.append(_text(WIDTH - right + 40, top + 10 + number * 18, name, "start", "small"))
    return _svg(height, body, title)
