"""Throughput, lag and faults over time, as one SVG."""

from collections.abc import Sequence
from itertools import pairwise
from xml.sax.saxutils import escape

from chaos.run import Done, Sample

WIDTH, HEIGHT, LEFT, TOP, BETWEEN = 1200, 620, 70, 40, 40
PANEL = 220
FONT = 'font-family="sans-serif" font-size="12"'
COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#a463f2", "#97bbf5")


def picture(samples: Sequence[Sample], done: Sequence[Done], title: str) -> str:
    """Above the records published each second, below the lag of each group; a band for each fault."""
    end = max([sample.at for sample in samples] + [one.ended for one in done] + [1.0])
    rates = _rates(samples)
    groups = sorted({group for sample in samples for group in sample.lag or {}})
    lags = {
        group: [(sample.at, float(sample.lag[group])) for sample in samples if sample.lag and group in sample.lag]
        for group in groups
    }
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {FONT}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>',
        *(_band(one, end) for one in done),
        *_panel("records published a second", TOP, {"published": rates}, end),
        *_panel("records not settled, by group", TOP + PANEL + BETWEEN, lags, end),
        *_axis(end),
        "</svg>",
    ]
    return "\n".join(parts)


def _rates(samples: Sequence[Sample]) -> list[tuple[float, float]]:
    known = [(sample.at, sample.published) for sample in samples if sample.published is not None]
    return [(later, (more - count) / (later - at)) for (at, count), (later, more) in pairwise(known) if later > at]


def _x(at: float, end: float) -> float:
    return LEFT + at / end * (WIDTH - LEFT - 20)


def _band(one: Done, end: float) -> str:
    """Dark while the fault lasts, light until everything was settled again."""
    recovered = one.ended + (one.recovered or 0)
    start, middle, stop = (_x(at, end) for at in (one.began, one.ended, recovered))
    height = 2 * PANEL + BETWEEN
    said = escape(f"{one.kind}: {one.what}, {one.began:.0f} to {one.ended:.0f} s")
    return (
        f"<g><title>{said}</title>"
        f'<rect x="{start:.1f}" y="{TOP}" width="{max(middle - start, 1):.1f}" height="{height}" fill="#f3c6c6"/>'
        f'<rect x="{middle:.1f}" y="{TOP}" width="{max(stop - middle, 0):.1f}" height="{height}" fill="#fbeaea"/></g>'
    )


def _panel(title: str, top: int, lines: dict[str, list[tuple[float, float]]], end: float) -> list[str]:
    highest = max([value for points in lines.values() for _, value in points] + [1.0])
    parts = [
        f'<rect x="{LEFT}" y="{top}" width="{WIDTH - LEFT - 20}" height="{PANEL}" fill="none" stroke="#999"/>',
        f'<text x="{LEFT + 6}" y="{top + 15}">{escape(title)}</text>',
        f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{highest:,.0f}</text>',
        f'<text x="{LEFT - 6}" y="{top + PANEL}" text-anchor="end">0</text>',
    ]
    for number, (name, points) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{_x(at, end):.1f},{top + PANEL * (1 - value / highest):.1f}" for at, value in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.3"/>')
        parts.append(f'<text x="{LEFT + 200 + 130 * number}" y="{top + 15}" fill="{colour}">{escape(name)}</text>')
    return parts


def _axis(end: float) -> list[str]:
    step = next(step for step in (10, 30, 60, 300, 600, 3600) if end / step <= 15 or step == 3600)
    bottom = TOP + 2 * PANEL + BETWEEN
    return [
        f'<text x="{_x(at, end):.1f}" y="{bottom + 16}" text-anchor="middle">{at // 60}:{at % 60:02}</text>'
        for at in range(0, int(end) + 1, step)
    ] + [f'<text x="{LEFT}" y="{bottom + 34}">minutes; red: a fault, light red: until everything was settled</text>']
