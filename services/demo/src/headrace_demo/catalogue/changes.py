"""How the catalogue changes: a stream of events over its first state, as a busy and somewhat careless source has it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from heapq import heappop, heappush

from headrace_demo.catalogue.draws import Draws
from headrace_demo.catalogue.entities import Clock, Entities, ticking
from headrace_demo.catalogue.events import Change, Event
from headrace_demo.catalogue.malformed_records import DEFECTS, malformed

_Sequel = Callable[[], Change]
_LONGEST_DELAY = 20
_STORIES = (
    *("reprice",) * 7, *("reword",) * 4, *("delete",) * 2, *("recreate",) * 2, *("duplicate",) * 2, *("late",) * 2,
    "late after delete",
)  # fmt: skip


def creations(seed: int, *, products: int, keywords: int, clock: Clock | None = None) -> Iterator[Change]:
    """The first version of every entity, products first: what `changes` with the same numbers starts from."""
    entities = Entities(seed, products, keywords, clock or ticking())
    return (entities.create(number) for number in range(entities.count))


def changes(
    seed: int, *, products: int, keywords: int, count: int, broken: int = 0, clock: Clock | None = None
) -> Iterator[Event]:
    """`count` events, `broken` of them malformed and spread evenly over all `DEFECTS`; the others are changes.

    A change may be followed, up to twenty events later, by its duplicate, by the re-creation of what it deleted, or by
    an older version of the same entity. Memory: 13 bytes for each entity, however many events. `clock` is read once
    for each new change; without one the times are the same in every run.
    """
    entities = Entities(seed, products, keywords, clock or ticking())
    if not 0 <= broken <= count:
        raise ValueError(f"{broken} of {count} events cannot be malformed")
    if count and not entities.count:
        raise ValueError("there is nothing to change: ask for at least one product or keyword")
    return _changes(seed, entities, count, broken)


def _changes(seed: int, entities: Entities, count: int, broken: int) -> Iterator[Event]:
    waiting: list[tuple[int, int, _Sequel]] = []
    for position in range(count):
        draws = Draws(seed, "change", position)
        number = draws.below(entities.count)
        done = position * broken // count
        left = (count - position) - (broken - done)
        if (position + 1) * broken // count > done:
            kind, record = entities.next_upsert(number)
            yield malformed(kind, DEFECTS[done % len(DEFECTS)], record)
        elif waiting and (waiting[0][0] <= position or left <= len(waiting)):
            yield heappop(waiting)[2]()
        else:
            room = left > len(waiting) + 1
            first, sequel = _story(entities, number, _STORIES[draws.below(len(_STORIES))] if room else "reword")
            if sequel:
                heappush(waiting, (position + 1 + draws.below(_LONGEST_DELAY), position, sequel))
            yield first


def _story(entities: Entities, number: int, story: str) -> tuple[Change, _Sequel | None]:
    """The next change of an entity, and what is to follow a little later."""
    if not entities.is_live(number):
        return _revive(entities, number), None
    match story:
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
