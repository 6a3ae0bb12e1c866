"""Small SVG charts with a description in words. They have no inline style, because the page's policy forbids it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from headrace_console.formats.text import count
from headrace_console.formats.times import delay

MAX_GAP = 1.5
GAP = 2
MIN_HEIGHT = 2.0


def sparkline(series: Sequence[int], label: str, *, width: int = 132, height: int = 30) -> Markup:
    """A column for each step, oldest first. `label`: what is counted, and over which time."""
    most = max(series, default=0)
    step = width / max(len(series), 1)
    gap = min(MAX_GAP, step / 4)
    columns = Markup("").join(
        Markup('<rect x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}" rx="1"/>').format(
            place * step, height - tall, step - gap, tall
        )
        for place, number in enumerate(series)
        if (tall := max(MIN_HEIGHT, number / most * height) if number else 0)
    )
    return Markup(
        '<svg class="spark" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" preserveAspectRatio="none" '
        'aria-label="{label}"><line x1="0" x2="{w}" y1="{base}" y2="{base}"/>{columns}</svg>'
    ).format(w=width, h=height, base=height - 0.5, label=series_in_words(series, label), columns=columns)


def delay_columns(
    seconds: Sequence[float | None], objective: float | None, label: str, *, width: int = 220, height: int = 44
) -> Markup:
    """A column for each step, oldest first, and a line at the objective. None: nothing was measured in that step."""
    known = [one for one in seconds if one is not None]
    finite = [one for one in known if not math.isinf(one)]
    top = max([*finite, (objective or 0.0) * 1.25, 0.001])
    step = width / max(len(seconds), 1)
    columns = Markup("").join(
        Markup('<rect class="{}" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"/>').format(
            "over" if objective is not None and one > objective else "under",
            place * step, height - tall, step * 0.8, tall,
        )
        for place, one in enumerate(seconds)
        if one is not None and (tall := max(MIN_HEIGHT, min(one / top, 1.0) * height))
    )  # fmt: skip
    line = Markup("")
    if objective is not None:
        line = Markup('<line class="objective" x1="0" x2="{w}" y1="{y:.2f}" y2="{y:.2f}"/>').format(
            w=width, y=height - objective / top * height
        )
    words = f"at most {delay(max(known))}, last {delay(known[-1])}" if known else "nothing was measured"
    return Markup(
        '<svg class="spark delays" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" '
        'preserveAspectRatio="none" aria-label="{label}"><line x1="0" x2="{w}" y1="{base}" y2="{base}"/>{columns}{line}'
        "</svg>"
    ).format(w=width, h=height, base=height - 0.5, label=f"{label}: {words}", columns=columns, line=line)


def series_in_words(series: Sequence[int], label: str) -> str:
    """The description of a sparkline, for screen readers."""
    if not any(series):
        return f"{label}: none"
    most = max(series)
    steps_ago = len(series) - 1 - series.index(most)
    when = "in the newest" if steps_ago == 0 else f"{steps_ago} steps before the newest"
    return (
        f"{label}: {count(sum(series))} in {len(series)} steps, at most {count(most)}, {when}; now {count(series[-1])}"
    )


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a whole. `name`: the name of its icon and colour. `about`: its meaning in one sentence."""

    name: str
    label: str
    number: int
    about: str = ""


def stacked(parts: Sequence[Part], label: str) -> Markup:
    """The parts of a whole in one bar. The page must also list the parts with their numbers."""
    total = sum(part.number for part in parts)
    shown = [part for part in parts if part.number]
    x = 0.0
    rects = []
    for part in shown:
        # One letter of 100,000 is still visible.
        wide = max(part.number / total * 1000, 4.0)
        drawn = wide if part is shown[-1] else wide - GAP
        rects.append(
            Markup('<rect class="fill-{}" x="{:.2f}" y="0" width="{:.2f}" height="20"/>').format(part.name, x, drawn)
        )
        x += wide
    words = ", ".join(f"{part.label} {count(part.number)}" for part in shown) or "nothing"
    return Markup(
        '<svg class="stacked" viewBox="0 0 {:.0f} 20" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(max(x, 1000), f"{label}: {words}", Markup("").join(rects))


def bar(part: Part, most: int) -> Markup:
    """The part compared with the largest one. It is decoration: the page shows the number as text."""
    wide = max(part.number / most * 1000, 6.0) if part.number and most else 0
    return Markup(
        '<svg class="bar" viewBox="0 0 1000 12" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="track" x="0" y="0" width="1000" height="12"/>'
        '<rect class="fill-{}" x="0" y="0" width="{:.2f}" height="12"/></svg>'
    ).format(part.name, wide)
