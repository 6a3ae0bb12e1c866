"""Draws the delays until a search finds a change as an SVG, for a light and a dark page."""

import math
from collections.abc import Iterator, Sequence
from html import escape

from benchmarks.delays import SHARES, Delays

WIDTH, PANEL, GAP = 860, 120, 46
LEFT, RIGHT, TOP = 56, 130, 40
STYLE = """
  svg { font: 13px system-ui, sans-serif; background: #fff; fill: #1f2933 }
  .grid { stroke: #d5dbe1; stroke-width: 1 } .dot { fill: #2563a8; fill-opacity: .45 }
  .p99 { stroke: #b4530a; stroke-width: 1.5 } .goal { stroke: #64707d; stroke-dasharray: 5 4 }
  .minor { fill: #5b6773; font-size: 12px }
  @media (prefers-color-scheme: dark) {
    svg { background: #14191f; fill: #e4e8ec } .grid { stroke: #38424d } .dot { fill: #7fb4ea }
    .p99 { stroke: #f0a35c } .goal { stroke: #9aa5b1 } .minor { fill: #a8b2bd }
  }"""


def plot(all_delays: Sequence[Delays], began: float, ended: float) -> str:
    """One panel for each search: a dot for each change, by when it was published, with p99 and the goal. The panels
    have one scale.
    """
    most = max((second for delays in all_delays for second in delays.seconds), default=1.0)
    step = next(step for step in (0.25, 0.5, 1, 2, 5, 10, 30, 60) if most <= 4 * step or step == 60)
    top = step * math.ceil(most / step)
    height = TOP + len(all_delays) * (PANEL + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'aria-label="Seconds from the publication of a change until a search finds it">',
        f"<style>{STYLE}</style>",
        f'<text x="{LEFT}" y="18" font-weight="600">Seconds from the publication of a change until a search finds it, '
        "by the minute of the publication</text>",
    ]
    for number, delays in enumerate(all_delays):
        y = TOP + number * (PANEL + GAP)
        parts += panel(delays, y, began, ended, [tick * step for tick in range(round(top / step) + 1)])
    return "\n".join([*parts, "</svg>"]) + "\n"


def panel(delays: Delays, top: int, began: float, ended: float, ticks: Sequence[float]) -> Iterator[str]:
    """The elements of one panel. `ticks`: seconds, from 0 to the end of the scale."""
    right, floor = WIDTH - RIGHT, top + 20 + PANEL - 20

    def x(at: float) -> float:
        return LEFT + (at - began) / (ended - began) * (right - LEFT)

    def y(seconds: float) -> float:
        return floor - seconds / ticks[-1] * (PANEL - 20)

    links = ": links" if delays.what.endswith("links") else ""
    yield f'<text x="{LEFT}" y="{top + 10}">{escape(delays.store)}{links}</text>'
    for tick in ticks:
        yield f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        yield f'<text class="minor" x="{LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g} s</text>'
    minutes = (ended - began) / 60
    every = next(step for step in (0.25, 0.5, 1, 2, 5, 10, 30) if minutes <= 10 * step or step == 30)
    for number in range(int(minutes / every) + 1):
        at = x(began + 60 * every * number)
        yield f'<text class="minor" x="{at:.1f}" y="{floor + 16}" text-anchor="middle">{every * number:g}</text>'
    for at, seconds in zip(delays.at, delays.seconds, strict=True):
        yield f'<circle class="dot" cx="{x(at):.1f}" cy="{y(seconds):.1f}" r="1.8"/>'
    p99 = delays.percentiles()[SHARES.index(99)]
    for name, line in (("p99", p99), ("goal", delays.goal)):
        if line is not None and line <= ticks[-1]:
            yield f'<line class="{name}" x1="{LEFT}" x2="{right}" y1="{y(line):.1f}" y2="{y(line):.1f}"/>'
    goal = "" if delays.goal is None else f"goal {delays.goal:g} s"
    yield f'<text x="{right + 10}" y="{top + 50}">p99 {p99:.2f} s</text>'
    yield f'<text class="minor" x="{right + 10}" y="{top + 70}">{goal}</text>'
