"""The link protocol as a state machine: one product, two keywords, room for one link, two consumers of one partition.

`successors` gives all that can happen next: a change becomes visible, a receipt of it is handled step by step, a
consumer of relink requests takes its next step, a rebalance leaves the old consumer running, a process dies. A mutation
weakens the protocol in one place; `docs/links.md` tells the protocol in words.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

Mutation = Literal[
    "no-open",
    "open-whatever-was-looked-at",
    "close-whoever-opened",
    "drop-when-beaten-at-opening",
    "close-before-publishing",
    "cover-what-comes-after-the-read",
    "forget-the-holders",
    "probe-before-the-holders",
    "open-only-once",
    "forget-the-tombstone",
    "ask-for-products-only-when-they-are-new",
]
MUTATIONS: tuple[Mutation, ...] = get_args(Mutation)
NAMES = ("a", "b")
NO_FLOOR = -1.0
TOLERANCE = 1e-6

Held = frozenset[tuple[str, float]]
"""The linked keywords. The score stands for the keyword's content hash too: other content has another score."""
NOTHING: Held = frozenset()


class Scenario(NamedTuple):
    """`scores`: what each keyword scores against the product, change by change; None where it is absent or deleted.

    `product`: the product's content, change by change; None where it is absent or deleted.
    """

    scores: tuple[tuple[float | None, ...], tuple[float | None, ...]]
    product: tuple[str | None, ...]
    rebalances: int = 0
    crashes: int = 0


class Point(NamedTuple):
    """The product's point in product_links. `content`: the product's, that the set was computed from."""

    version: int
    writer: int
    open: bool
    held: Held
    floor: float
    content: str | None
    dead: bool


class Consumer(NamedTuple):
    """A consumer of relink requests. `seen`, `was`: what look found; `high`: the log's end noted after opening."""

    step: str = "idle"
    offset: int = 0
    next: int = 0
    seen: int = 0
    was: tuple[object, ...] = ()
    high: int = 0
    covered: int = 0
    read: tuple[str | None, Held, float] | None = None


class Handled(NamedTuple):
    """A receipt in hand. `keyword`: whose, None for the product's. `value`: what is current of it, once it is read."""

    keyword: int | None
    step: str
    value: float | str | None


class State(NamedTuple):
    """Everything at one moment. `published`: the newest link version in the stores, with content and set."""

    keywords: tuple[int, int] = (0, 0)
    product: int = 0
    receipts: tuple[int, int, int] = (0, 0, 0)
    handled: tuple[Handled, ...] = ()
    log: int = 0
    committed: int = 0
    point: Point | None = None
    published: tuple[int, tuple[str, Held] | None] = (0, None)
    owner: int = 0
    consumers: tuple[Consumer, Consumer] = (Consumer(), Consumer())
    rebalances: int = 0
    crashes: int = 0


Step = tuple[str, State]


class Protocol(NamedTuple):
    """The protocol in one scenario, whole or weakened."""

    scenario: Scenario
    mutation: Mutation | None = None

    def start(self) -> State:
        """What is there at first has its receipts still to be handled."""
        first = [script[0] if script else None for script in self.scenario.scores] + [self.scenario.product[0]]
        a, b, product = (int(value is not None) for value in first)
        return State(receipts=(a, b, product))

    def successors(self, s: State) -> Iterator[Step]:
        """What can happen next, each with its name."""
        yield from self._changes(s)
        for place, handled in enumerate(s.handled):
            rest = s._replace(handled=s.handled[:place] + s.handled[place + 1 :])
            yield from self._product_receipt(rest, handled) if handled.keyword is None else self._receipt(rest, handled)
        for c, me in enumerate(s.consumers):
            name = "AB"[c]
            other = 1 - c
            busy_owner = c == s.owner and me.step != "idle" and s.consumers[other].step == "idle"
            if busy_owner and s.rebalances < self.scenario.rebalances:
                moved = s._replace(owner=other, rebalances=s.rebalances + 1)
                yield "rebalance", _with(moved, other, Consumer(next=s.committed))
            if me.step != "idle" and s.crashes < self.scenario.crashes:
                yield f"{name} dies", _with(s._replace(crashes=s.crashes + 1), c, Consumer(next=s.committed))
            for label, after in self._consume(s, c, me):
                yield f"{name} {label}", after

    def quiet(self, s: State) -> bool:
        """Nothing is on its way any more."""
        idle = all(me.step == "idle" for me in s.consumers)
        return not any(s.receipts) and not s.handled and idle and s.consumers[s.owner].next >= s.log

    def right(self, s: State) -> bool:
        """What is published is what brute force finds."""
        content = self.scenario.product[s.product]
        return s.published[1] == (None if content is None else (content, self._top(s)[0]))

    def _changes(self, s: State) -> Iterator[Step]:
        for k, script in enumerate(self.scenario.scores):
            if s.keywords[k] + 1 < len(script):
                visible = s._replace(keywords=_swap(s.keywords, k, s.keywords[k] + 1))
                yield f"{NAMES[k]} changes", visible._replace(receipts=_swap(s.receipts, k, s.receipts[k] + 1))
            if s.receipts[k]:
                taken = s._replace(receipts=_swap(s.receipts, k, s.receipts[k] - 1))
                value = self._score(s, k)
                first = self._looks[0] if value is not None else "holders"
                yield f"receipt of {NAMES[k]}, its vector is read", _hold(taken, Handled(k, first, value))
        if s.product + 1 < len(self.scenario.product):
            changed = s._replace(product=s.product + 1)
            yield "the product changes", changed._replace(receipts=_swap(s.receipts, 2, s.receipts[2] + 1))
        if s.receipts[2]:
            taken = s._replace(receipts=_swap(s.receipts, 2, s.receipts[2] - 1))
            yield "receipt of the product", _hold(taken, Handled(None, "look", self.scenario.product[s.product]))

    def _product_receipt(self, s: State, handled: Handled) -> Iterator[Step]:
        """A request, unless the point is closed and was computed from the same content."""
        point, content = s.point, handled.value
        same = point is not None and not point.open and point.content == content
        if self.mutation == "forget-the-tombstone":
            # A tombstone that remembers what the product was before it was deleted.
            remembered = point is not None and not point.open and point.dead and content is not None
            same = same or remembered
        if self.mutation == "ask-for-products-only-when-they-are-new":
            same = point is not None
        yield "the product is looked up", s._replace(log=s.log + (not same))

    def _receipt(self, s: State, handled: Handled) -> Iterator[Step]:
        """First the open and the holders of other content; then the closed ones whose floor it reaches; then the open
        again, because a point that was opened in between hides its floor, and its writer may be dead.
        """
        point, (k, step, value) = s.point, handled
        assert k is not None
        held = dict(point.held) if point else {}
        following = dict(pairwise((*self._looks, None)))[step] if value is not None else None
        found = False
        if point is not None and not point.dead:
            if step == "holders":
                stale = NAMES[k] in held and held[NAMES[k]] != value
                found = point.open or (stale and self.mutation != "forget-the-holders")
            elif step == "probe":
                reached = isinstance(value, float) and value >= point.floor - TOLERANCE
                found = not point.open and NAMES[k] not in held and reached
            else:
                found = point.open
        done = found or following is None
        after = s if done else _hold(s, Handled(k, str(following), value))
        yield f"{NAMES[k]}: {step}", after._replace(log=s.log + found)

    @property
    def _looks(self) -> tuple[str, ...]:
        if self.mutation == "probe-before-the-holders":
            return ("probe", "holders")
        return ("holders", "probe") if self.mutation == "open-only-once" else ("holders", "probe", "open")

    def _consume(self, s: State, c: int, me: Consumer) -> Iterator[Step]:
        if me.step == "idle":
            if c != s.owner or me.next >= s.log:
                return
            if me.next < me.covered:
                skipped = s._replace(committed=max(s.committed, me.next + 1))
                yield "skips what is covered", _with(skipped, c, me._replace(next=me.next + 1))
            else:
                yield "takes a request", _with(s, c, me._replace(step="look", offset=me.next))
        elif me.step == "look":
            point = s.point
            was = (point.held, point.content, point.dead) if point and not point.open else ()
            yield "looks", _with(s, c, me._replace(step="open", seen=point.version if point else 0, was=was))
        elif me.step == "open":
            yield from self._open(s, c, me)
        elif me.step == "read":
            held, floor = self._top(s)
            high = s.log + 1 if self.mutation == "cover-what-comes-after-the-read" else me.high
            late = self.mutation == "close-before-publishing"
            read = me._replace(read=(self.scenario.product[s.product], held, floor), high=high)
            yield "reads", _with(s, c, read._replace(step="close" if late else "publish"))
        elif me.step == "publish":
            after = "commit" if self.mutation == "close-before-publishing" else "close"
            yield "publishes", _with(_published(s, me), c, me._replace(step=after))
        elif me.step == "close":
            yield from self._close(s, c, me)
        else:
            committed = max(s.committed, me.offset + 1) if c == s.owner else s.committed
            fresh = Consumer(next=me.offset + 1, covered=max(me.covered, me.high))
            yield "commits", _with(s._replace(committed=committed), c, fresh)

    def _open(self, s: State, c: int, me: Consumer) -> Iterator[Step]:
        point = s.point
        if (point.version if point else 0) == me.seen or self.mutation == "open-whatever-was-looked-at":
            held = point.held if point else NOTHING
            is_open = self.mutation != "no-open"
            floor, content = (point.floor, point.content) if point else (9.0, None)
            opened = Point(me.seen + 1, c, is_open, held, floor, content, False)
            yield "opens", _with(s._replace(point=opened), c, me._replace(step="read", high=s.log))
        elif self.mutation == "drop-when-beaten-at-opening":
            yield "is beaten at opening, and drops it", _with(s, c, me._replace(step="commit", seen=0, was=()))
        else:
            yield "is beaten at opening", _with(s, c, me._replace(step="look", seen=0, was=()))

    def _close(self, s: State, c: int, me: Consumer) -> Iterator[Step]:
        assert me.read is not None
        assert s.point is not None
        content, held, floor = me.read
        after = "publish" if self.mutation == "close-before-publishing" else "commit"
        mine = me if after == "publish" else me._replace(seen=0, was=(), read=None)
        unbeaten = (s.point.version, s.point.writer) == (me.seen + 1, c)
        if unbeaten or self.mutation == "close-whoever-opened":
            live = content is not None
            closed = Point(me.seen + 2, c, False, held if live else NOTHING, floor, content, not live)
            yield "closes", _with(s._replace(point=closed), c, mine._replace(step=after))
        else:
            # Whoever has opened since reads later, or leaves it open and is asked again: nothing is owed.
            yield "is beaten at closing", _with(s, c, mine._replace(step=after))

    def _score(self, s: State, k: int) -> float | None:
        script = self.scenario.scores[k]
        return script[s.keywords[k]] if script else None

    def _top(self, s: State) -> tuple[Held, float]:
        """The best keyword of those there are, and the floor: what another has to reach."""
        scores = [(self._score(s, k), NAMES[k]) for k in range(len(NAMES))]
        ranked = sorted(((score, name) for score, name in scores if score is not None), reverse=True)[:1]
        return frozenset((name, score) for score, name in ranked), ranked[0][0] if ranked else NO_FLOOR


def _published(s: State, me: Consumer) -> State:
    """The stores are fenced by link version; nothing is published that look found closed already."""
    assert me.read is not None
    content, held, _ = me.read
    now = (held if content is not None else NOTHING, content, content is None)
    if me.was == now or s.published[0] >= me.seen + 2:
        return s
    return s._replace(published=(me.seen + 2, None if content is None else (content, held)))


def _hold(s: State, handled: Handled) -> State:
    return s._replace(handled=tuple(sorted((*s.handled, handled), key=str)))


def _with(s: State, c: int, me: Consumer) -> State:
    return s._replace(consumers=_swap(s.consumers, c, me))


def _swap(items: tuple, index: int, value: object) -> tuple:  # type: ignore[type-arg]
    return (*items[:index], value, *items[index + 1 :])
