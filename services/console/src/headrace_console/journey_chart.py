"""The journey of an entity as a timeline: a bar for each worker, from when it could read the record to the outcome."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from markupsafe import Markup

from headrace_console.formats.times import milliseconds
from headrace_letters.journey import Journey, Passage

Look = Literal["resolved", "superseded", "failed", "parked", "waiting", "unknown", "deleted", "ready"]
LOOKS: dict[str, Look] = {
    "applied": "resolved", "stored": "resolved", "superseded": "superseded", "ignored": "parked", "dead": "failed",
    "conflict": "failed",
}  # fmt: skip
WORDS = {"stored": "Settled", "dead": "Dead letter", "conflict": "Conflict"}
WIDTH, HEIGHT = 1000, 14
LEAST = 6.0
"""Of a bar, so that one millisecond is visible."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the timeline. `look`: its icon and colour. `milliseconds`: since publication. `start`: where its bar
    begins. `word`: the outcome. `missing`: why something is not there.
    """

    name: str
    look: Look
    word: str
    at: datetime | None = None
    milliseconds: int | None = None
    start: int = 0
    missing: str = ""


@dataclass(frozen=True, slots=True)
class JourneyChart:
    """`longest`: milliseconds that the full width of a bar stands for."""

    rows: Sequence[Row]
    longest: int

    def bar(self, row: Row) -> Markup:
        """The bar of a row. It is decoration: the page shows its numbers as text."""
        drawn = Markup("")
        if row.milliseconds is not None and row.milliseconds >= 0:
            scale = WIDTH / max(self.longest, 1)
            x = min(max(row.start, 0) * scale, WIDTH - LEAST)
            wide = min(max((row.milliseconds - row.start) * scale, LEAST), WIDTH - x)
            drawn = Markup('<rect class="fill-{}" x="{:.1f}" y="0" width="{:.1f}" height="{}"/>').format(
                row.look, x, wide, HEIGHT
            )
        return Markup(
            '<svg class="bar" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true">'
            '<rect class="track" x="0" y="0" width="{}" height="{}"/>{}</svg>'
        ).format(WIDTH, HEIGHT, WIDTH, HEIGHT, drawn)


def journey_chart(found: Journey) -> JourneyChart:
    """Occurred, published, each worker, and whether a search finds the version in each store."""
    rows = [*_origin(found), *_workers(found), *_searches(found)]
    return JourneyChart(rows, max((row.milliseconds or 0 for row in rows), default=0))


def _origin(found: Journey) -> list[Row]:
    published, occurred = found.published_at, found.occurred_at
    if occurred is None:
        first = Row("Occurred", "unknown", "Not known", missing="the record with this version was not read")
    else:
        before = round((occurred - published).total_seconds() * 1000) if published else None
        first = Row("Occurred", "ready", milliseconds(before) if before is not None else "", occurred)
    if published is None:
        return [first, Row("Published", "unknown", "Not known", missing="the record with this version was not read")]
    return [first, Row("Published", "ready", "0 ms", published)]


def _workers(found: Journey) -> list[Row]:
    rows: list[Row] = []
    ends: dict[str, int] = {}
    for one in found.passages:
        look = LOOKS[one.outcome] if one.outcome else "waiting"
        if one.missing.startswith("not known"):
            look = "unknown"
        start = ends.get(found.after.get(one.worker) or "", 0)
        rows.append(Row(one.worker, look, _word(one), one.settled_at, one.milliseconds, start, one.missing))
        if one.milliseconds is not None:
            ends[one.worker] = one.milliseconds
    return rows


def _word(one: Passage) -> str:
    if one.outcome is None:
        return "Not known" if one.missing.startswith("not known") else "Not settled"
    return WORDS.get(one.outcome, one.outcome.capitalize())


def _searches(found: Journey) -> list[Row]:
    rows = []
    for one in found.stores:
        name = f"Search in {one.answer.store}"
        if one.answer.problem or (one.answer.searchable is None and not one.answer.deleted):
            rows.append(Row(name, "unknown", "Not known", missing=one.missing))
        elif one.missing:
            rows.append(Row(name, "waiting", "Not yet", missing=one.missing))
        else:
            gone = one.answer.deleted
            rows.append(Row(name, "deleted" if gone else "resolved", "Found no longer" if gone else "Found now"))
    return rows
