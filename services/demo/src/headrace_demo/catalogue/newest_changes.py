"""The newest change of each entity, which every store must contain when all events are applied."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from headrace_demo.catalogue.events import Change, Event
from headrace_schemas.fields import Kind


class Newest(NamedTuple):
    """The newest change of one entity. `record`: that change, which may be a delete."""

    version: int
    deleted: bool
    record: dict[str, Any]


def newest_changes(events: Iterable[Event]) -> dict[tuple[Kind, str], Newest]:
    """(kind, id) to the newest change: the highest version wins, and the first of equal versions. Malformed records are
    ignored.
    """
    newest: dict[tuple[Kind, str], Newest] = {}
    for event in events:
        if not isinstance(event, Change):
            continue
        known = newest.get((event.kind, event.id))
        if known is None or event.version > known.version:
            newest[event.kind, event.id] = Newest(event.version, event.deleted, event.record)
    return newest
