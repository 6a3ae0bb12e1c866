"""The delays of a batch: how long its changes took until they were applied."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from headrace_runtime.answers import Answered, Result
from headrace_runtime.origin import occurred_at, published_at
from headrace_schemas.changes import Change
from headrace_schemas.fields import RecordKind


class Delays(NamedTuple):
    """Seconds: `occurred` since each change occurred, `published` since each was published. Not one for each change:
    a link set may be made without one, and a timestamp may be no time.
    """

    occurred: list[float]
    published: list[float]


def delays(kind: RecordKind, applied: Iterable[Result], now: datetime) -> Delays:
    """The delays of the applied records of one kind. Only changes and link sets have any.

    A replay has none, because a person decided when. A time in the future counts as now.
    """
    live = [one for one in applied if type(one) is Answered and not one.replayed]
    if kind == "product_links":
        occurred = [moment for one in live if (moment := occurred_at(one.record)) is not None]
    else:
        occurred = [one.change.occurred_at for one in live if isinstance(one.change, Change)]
        if not occurred:
            return Delays([], [])
    milliseconds = now.timestamp() * 1000
    known = [time for one in live if (time := published_at(one.record, kind)) is not None]
    return Delays(
        not_negative([(now - moment).total_seconds() for moment in occurred]),
        not_negative([(milliseconds - time) / 1000 for time in known]),
    )


def not_negative(seconds: list[float]) -> list[float]:
    """The same numbers with 0 instead of those below: the clocks of two machines differ."""
    return seconds if min(seconds, default=0.0) >= 0.0 else [max(0.0, one) for one in seconds]
