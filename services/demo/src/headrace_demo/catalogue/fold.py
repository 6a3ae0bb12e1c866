"""What every store must hold once all events have been applied."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from headrace_demo.catalogue.events import Change, Event
from headrace_schemas.fields import Kind


class Newest(NamedTuple):
    """The newest change of one entity; `record` is that change, also where it is a delete."""

    version: int
    deleted: bool
    record: dict[str, Any]


def fold(events: Iterable[Event]) -> dict[tuple[Kind, str], Newest]:
    """(kind, id) to the newest change: the highest version wins, of equal versions the first; what is malformed counts
    for nothing."""
    newest: dict[tuple[Kind, str], Newest] = {}
    for event in events:
        if not isinstance(event, Change):
            continue
        known = newest.get((event.kind, event.id))
        if known is None or event.version > known.version:
            newest[event.kind, event.id] = Newest(event.version, event.deleted, event.record)
    return newest
