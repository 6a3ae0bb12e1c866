"""Breadth-first search through all states that a protocol can reach."""

from collections import deque
from collections.abc import Sequence
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
    topics = (0, int(protocol.scenario.two_topics))
    came_from: dict[State, tuple[str, State] | None] = {start: None}
    queue, idle = deque([start]), 0
    while queue:
        state = queue.popleft()
        if protocol.idle(state):
            idle += 1
            if not protocol.correct(state):
                return Explored(len(came_from), idle, Violation(_path(came_from, state), state))
        for label, following in protocol.successors(state):
            reached = _renumbered(following, topics)
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


def _renumbered(s: State, topics: Sequence[int]) -> State:
    """Counts offsets and versions from the oldest one in use, so that equivalent states are equal. `topics`: the topic
    of each consumer.
    """
    kept = [
        me if topics[c] or c == s.owner or me.step != "idle" else Consumer(covered=me.covered)
        for c, me in enumerate(s.consumers)
    ]
    busy = [(topic, me.offset) for topic, me in zip(topics, kept, strict=True) if me.step != "idle"]
    bases = [min([s.committed[one], *(offset for topic, offset in busy if topic == one)]) for one in (0, 1)]
    a, b = (_shifted(me, bases[topic]) for topic, me in zip(topics, kept, strict=True))
    # A request is read again only from its base on.
    explicit = tuple(offset - bases[0] for offset in s.explicit if offset >= bases[0])
    logs, committed = _lowered(s.logs, bases), _lowered(s.committed, bases)
    s = s._replace(logs=logs, committed=committed, consumers=(a, b), explicit=explicit)
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


def _lowered(offsets: tuple[int, int], bases: Sequence[int]) -> tuple[int, int]:
    return offsets[0] - bases[0], offsets[1] - bases[1]


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
