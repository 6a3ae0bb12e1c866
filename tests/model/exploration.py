"""Breadth-first search through all states that a protocol can reach."""

from collections import deque
from typing import NamedTuple

from model.link_model import Consumer, Protocol, State


class Violation(NamedTuple):
    """An idle state in which the published links are wrong, and the shortest path to it."""

    path: list[str]
    state: State


class Explored(NamedTuple):
    """`idle`: the number of states in which nothing is left to do."""

    states: int
    idle: int
    violation: Violation | None


def explore(protocol: Protocol, limit: int) -> Explored:
    """Every reachable state, up to the first violation. Raises AssertionError at more than `limit` states."""
    start = protocol.start()
    came_from: dict[State, tuple[str, State] | None] = {start: None}
    queue, idle = deque([start]), 0
    while queue:
        state = queue.popleft()
        if protocol.idle(state):
            idle += 1
            if not protocol.correct(state):
                return Explored(len(came_from), idle, Violation(_path(came_from, state), state))
        for label, following in protocol.successors(state):
            reached = _renumbered(following)
            if reached not in came_from:
                came_from[reached] = (label, state)
                queue.append(reached)
        assert len(came_from) <= limit, f"more than {limit} states"
    return Explored(len(came_from), idle, None)


def _path(came_from: dict[State, tuple[str, State] | None], state: State) -> list[str]:
    labels = []
    while before := came_from[state]:
        labels.append(before[0])
        state = before[1]
    return labels[::-1]


def _renumbered(s: State) -> State:
    """Counts offsets and versions from the oldest one in use, so that equivalent states are equal."""
    busy = [me for me in s.consumers if me.step != "idle"]
    kept = [
        me if c == s.owner or me.step != "idle" else Consumer(covered=me.covered) for c, me in enumerate(s.consumers)
    ]
    base = min([s.committed] + [me.offset for me in busy])
    a, b = (_shifted(me, base) for me in kept)
    # A request is read again only from `base` on.
    explicit = tuple(offset - base for offset in s.explicit if offset >= base)
    s = s._replace(log=s.log - base, committed=s.committed - base, consumers=(a, b), explicit=explicit)
    numbered = [me for me in s.consumers if me.step in ("open", "note", "read", "publish", "close")]
    stored = [s.published[0]] if s.published[0] else []
    versions = [*stored, s.point.version if s.point else 0, *(me.seen for me in numbered)]
    drop = min(versions) - 1
    if drop <= 0 or s.point is None:
        return s
    a, b = (me._replace(seen=me.seen - drop) if me in numbered else me for me in s.consumers)
    point = s.point._replace(version=s.point.version - drop)
    published = (s.published[0] - drop, s.published[1]) if stored else s.published
    return s._replace(published=published, point=point, consumers=(a, b))


def _shifted(me: Consumer, base: int) -> Consumer:
    def moved(offset: int) -> int:
        return max(0, offset - base)

    busy = me.step != "idle"
    return me._replace(
        offset=moved(me.offset) if busy else 0,
        next=moved(me.next),
        end=moved(me.end) if busy else 0,
        high=moved(me.high) if busy else 0,
        covered=moved(me.covered),
    )
