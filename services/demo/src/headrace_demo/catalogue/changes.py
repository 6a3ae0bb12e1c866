"""The changes of the catalogue: a stream of events that includes duplicates, late changes and malformed records."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from heapq import heappop, heappush

from headrace_demo.catalogue.draws import Draws
from headrace_demo.catalogue.entities import Clock, Entities, ticking
from headrace_demo.catalogue.events import Change, Event
from headrace_demo.catalogue.malformed_records import DEFECTS, malformed_record

_Follower = Callable[[], Change]
_LONGEST_DELAY = 20
_PATTERNS = (
    *("reprice",) * 7, *("reword",) * 4, *("delete",) * 2, *("recreate",) * 2, *("duplicate",) * 2, *("late",) * 2,
    "late after delete",
)  # fmt: skip


def creations(seed: int, *, products: int, keywords: int, clock: Clock | None = None) -> Iterator[Change]:
    """The first version of every entity, products first. `changes` with the same numbers starts from this state."""
    entities = Entities(seed, products, keywords, clock or ticking())
    return (entities.create(number) for number in range(entities.count))


def changes(
    seed: int, *, products: int, keywords: int, count: int, malformed: int = 0, clock: Clock | None = None
) -> Iterator[Event]:
    """`count` events. `malformed` of them are malformed, spread evenly over all `DEFECTS`; the others are changes.

    Up to twenty events after a change its duplicate may follow, or the re-creation of the entity that it deleted, or an
    older version of the same entity. Memory: 13 bytes for each entity, for any number of events. `clock` is read once
    for each new change; without a clock the times are the same in every run.

    Raises ValueError if there are more malformed events than events, or no entity to change.
    """
    entities = Entities(seed, products, keywords, clock or ticking())
    if not 0 <= malformed <= count:
        raise ValueError(f"{malformed} of {count} events cannot be malformed")
    if count and not entities.count:
        raise ValueError("there is nothing to change: ask for at least one product or keyword")
    return _changes(seed, entities, count, malformed)


def _changes(seed: int, entities: Entities, count: int, malformed: int) -> Iterator[Event]:
    waiting: list[tuple[int, int, _Follower]] = []
    for position in range(count):
        draws = Draws(seed, "change", position)
        number = draws.below(entities.count)
        done = position * malformed // count
        left = (count - position) - (malformed - done)
        if (position + 1) * malformed // count > done:
            kind, record = entities.next_upsert(number)
            yield malformed_record(kind, DEFECTS[done % len(DEFECTS)], record)
        elif waiting and (waiting[0][0] <= position or left <= len(waiting)):
            yield heappop(waiting)[2]()
        else:
            room = left > len(waiting) + 1
            first, follower = _pattern_changes(
                entities, number, _PATTERNS[draws.below(len(_PATTERNS))] if room else "reword"
            )
            if follower:
                heappush(waiting, (position + 1 + draws.below(_LONGEST_DELAY), position, follower))
            yield first


def _pattern_changes(entities: Entities, number: int, pattern: str) -> tuple[Change, _Follower | None]:
    """The next change of an entity, and the change that follows it a little later."""
    if not entities.is_live(number):
        return _revive(entities, number), None
    match pattern:
        case "reprice":
            return entities.reprice(number), None
        case "reword":
            return entities.reword(number), None
        case "delete":
            return entities.delete(number), None
        case "recreate":
            return entities.delete(number), lambda: _revive(entities, number)
        case "duplicate":
            change = entities.reprice(number)
            return change, lambda: replace(change, cause="duplicate")
        case "late":
            older = entities.reword(number, "late")
            return entities.reprice(number), lambda: older
        case _:
            older = entities.reword(number, "late")
            return entities.delete(number), lambda: older


def _revive(entities: Entities, number: int) -> Change:
    return entities.reword(number, "reword" if entities.is_live(number) else "recreate")
