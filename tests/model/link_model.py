"""The link protocol as a state machine: one product, two keywords, one link, two consumers of one partition, or of one
partition each.

`successors` returns every event that can come next: a change becomes visible, the next query of its receipt runs, a
consumer of relink requests takes its next step, a rebalance leaves the old consumer running, a process dies, a point
that stays open is found, the stores lose their links and an explicit request asks for them. A mutation weakens the
protocol in one place. `docs/links.md` describes the protocol.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

Mutation = Literal[
    "do-not-open",
    "open-without-condition",
    "close-without-condition",
    "give-up-when-another-opened",
    "close-before-publish",
    "note-end-after-open",
    "note-end-after-read",
    "skip-holders",
    "query-probe-before-holders",
    "query-open-points-once",
    "tombstone-keeps-content",
    "request-only-new-products",
    "cover-explicit-requests",
    "publish-only-changed-sets",
    "take-the-last-request-of-a-batch",
    "leave-open-points",
    "compare-offsets-of-two-topics",
]
MUTATIONS: tuple[Mutation, ...] = get_args(Mutation)
NAMES = ("a", "b")
NO_FLOOR = -1.0
TOLERANCE = 1e-6

Links = frozenset[tuple[str, float]]
"""The linked keywords. The score stands for the keyword's content too: other content has another score."""
NOTHING: Links = frozenset()


class Scenario(NamedTuple):
    """`scores`: the score of each keyword against the product, after each change; None: absent or deleted.

    `product`: the content of the product, after each change; None: absent or deleted. `losses`: how often the stores
    lose the published links. `batches`: a consumer may take all waiting requests at once. `two_topics`: the requests of
    keywords have a topic of their own, which the second consumer reads while the first one reads the other; without
    rebalances.
    """

    scores: tuple[tuple[float | None, ...], tuple[float | None, ...]]
    product: tuple[str | None, ...]
    rebalances: int = 0
    crashes: int = 0
    losses: int = 0
    batches: bool = False
    two_topics: bool = False


class Point(NamedTuple):
    """The product's point in product_links. `content`: the content of the product when the set was computed."""

    version: int
    writer: int
    open: bool
    links: Links
    floor: float
    content: str | None
    dead: bool


class Consumer(NamedTuple):
    """A consumer of relink requests. It takes the requests from `offset` to `end`. `explicit`: its turn publishes even
    an unchanged set. `seen`, `was`: version and set that look found. `high`: the end of the log, noted before opening.
    `covered`: requests below it are skipped, also after the consumer had lost the partition for a while.
    """

    step: str = "idle"
    offset: int = 0
    end: int = 0
    explicit: bool = False
    next: int = 0
    seen: int = 0
    was: tuple[object, ...] = ()
    high: int = 0
    covered: int = 0
    read: tuple[str | None, Links, float] | None = None


class Receipt(NamedTuple):
    """A receipt that is being handled. `keyword`: its keyword, None: the product's receipt. `step`: the next query.
    `value`: the entity's score or content, as it was read.
    """

    keyword: int | None
    step: str
    value: float | str | None


class State(NamedTuple):
    """`receipts`: how many wait to be handled, of each keyword and of the product. `handling`: those being handled.
    `logs`: the length of the log of requests of each topic, `committed`: how many of each are. `published`: the newest
    link version in the stores, with content and set. `explicit`: the offsets of the explicit requests in the first log.
    `asks`: how many explicit requests will follow, one after each loss.
    """

    keywords: tuple[int, int] = (0, 0)
    product: int = 0
    receipts: tuple[int, int, int] = (0, 0, 0)
    handling: tuple[Receipt, ...] = ()
    logs: tuple[int, int] = (0, 0)
    committed: tuple[int, int] = (0, 0)
    point: Point | None = None
    published: tuple[int, tuple[str, Links] | None] = (0, None)
    owner: int = 0
    consumers: tuple[Consumer, Consumer] = (Consumer(), Consumer())
    rebalances: int = 0
    crashes: int = 0
    losses: int = 0
    asks: int = 0
    explicit: tuple[int, ...] = ()


Step = tuple[str, State]


class Protocol(NamedTuple):
    """The protocol in one scenario, whole or weakened."""

    scenario: Scenario
    mutation: Mutation | None = None

    def start(self) -> State:
        """The entities of the start exist, and their receipts wait."""
        first = [script[0] if script else None for script in self.scenario.scores] + [self.scenario.product[0]]
        a, b, product = (int(value is not None) for value in first)
        return State(receipts=(a, b, product))

    def successors(self, s: State) -> Iterator[Step]:
        """Every event that can come next, with its name."""
        yield from self._changes(s)
        for place, receipt in enumerate(s.handling):
            rest = s._replace(handling=s.handling[:place] + s.handling[place + 1 :])
            yield from self._product_receipt(rest, receipt) if receipt.keyword is None else self._receipt(rest, receipt)
        for c, me in enumerate(s.consumers):
            name = "AB"[c]
            other = 1 - c
            busy_owner = c == s.owner and me.step != "idle" and s.consumers[other].step == "idle"
            if busy_owner and s.rebalances < self.scenario.rebalances:
                moved = s._replace(owner=other, rebalances=s.rebalances + 1)
                yield "rebalance", _resumed(moved)
            if me.step != "idle" and s.crashes < self.scenario.crashes:
                dead = _with(s._replace(crashes=s.crashes + 1), c, Consumer(next=s.committed[self._topic(c)]))
                yield f"{name} dies", dead
                if busy_owner and self.scenario.rebalances:
                    yield f"{name} dies, and the other has the partition", _resumed(dead._replace(owner=other))
            for label, after in self._consume(s, c, me):
                yield f"{name} {label}", after

    def idle(self, s: State) -> bool:
        """Nothing waits: no receipt and no request, and no consumer is busy. A point may be open, and not yet found."""
        no_turn = all(me.step == "idle" for me in s.consumers)
        return not any(s.receipts) and not s.handling and not s.asks and no_turn and not self._waits(s)

    def correct(self, s: State) -> bool:
        """Whether the published set equals brute force, and that of the point, too, unless the open point is found."""
        content, point = self.scenario.product[s.product], s.point
        now = None if content is None else (content, self._top(s)[0])
        stored = (point.content, point.links) if point and not point.dead else None
        return s.published[1] == now and (self._finds_open(s) or stored == now)

    def _changes(self, s: State) -> Iterator[Step]:
        for k, script in enumerate(self.scenario.scores):
            if s.keywords[k] + 1 < len(script):
                visible = s._replace(keywords=_swap(s.keywords, k, s.keywords[k] + 1))
                yield f"{NAMES[k]} changes", visible._replace(receipts=_swap(s.receipts, k, s.receipts[k] + 1))
            if s.receipts[k]:
                taken = s._replace(receipts=_swap(s.receipts, k, s.receipts[k] - 1))
                value = self._score(s, k)
                first = self._looks[0] if value is not None else "holders"
                yield f"receipt of {NAMES[k]}, its vector is read", _keep_handling(taken, Receipt(k, first, value))
        if s.product + 1 < len(self.scenario.product):
            changed = s._replace(product=s.product + 1)
            yield "the product changes", changed._replace(receipts=_swap(s.receipts, 2, s.receipts[2] + 1))
        if s.receipts[2]:
            taken = s._replace(receipts=_swap(s.receipts, 2, s.receipts[2] - 1))
            yield (
                "receipt of the product",
                _keep_handling(taken, Receipt(None, "look", self.scenario.product[s.product])),
            )

        if s.losses < self.scenario.losses and s.published[1] is not None:
            yield "the stores lose the links", s._replace(published=(0, None), losses=s.losses + 1, asks=s.asks + 1)
        none_busy = all(me.step == "idle" for c, me in enumerate(s.consumers) if self._reads(s, c))
        if self._finds_open(s) and none_busy and not self._waits(s):
            # Before, a request is on its way already, or a reader may be about to close the point.
            yield "the open point is found", _requested(s)
        if s.asks:
            yield "explicit request", _requested(s._replace(explicit=(*s.explicit, s.logs[0]), asks=s.asks - 1))

    def _topic(self, c: int) -> int:
        """Of the requests that this consumer reads."""
        return c if self.scenario.two_topics else 0

    def _reads(self, s: State, c: int) -> bool:
        return self.scenario.two_topics or c == s.owner

    def _waits(self, s: State) -> bool:
        """Whether a request is not taken yet."""
        readers = [(self._topic(c), me) for c, me in enumerate(s.consumers) if self._reads(s, c)]
        return any(me.next < s.logs[topic] for topic, me in readers)

    def _finds_open(self, s: State) -> bool:
        return s.point is not None and s.point.open and self.mutation != "leave-open-points"

    def _product_receipt(self, s: State, receipt: Receipt) -> Iterator[Step]:
        """A request, unless the point is closed and was computed from the same content."""
        point, content = s.point, receipt.value
        same = point is not None and not point.open and point.content == content
        if self.mutation == "tombstone-keeps-content":
            # A tombstone that keeps the content that the product had before the delete.
            kept = point is not None and not point.open and point.dead and content is not None
            same = same or kept
        if self.mutation == "request-only-new-products":
            same = point is not None
        yield "the product is looked up", s if same else _requested(s)

    def _receipt(self, s: State, receipt: Receipt) -> Iterator[Step]:
        """First query for open points and holders of other content, then for closed points whose floor is reached, then
        for open points again: a point that opened in between hides its floor, and its writer may be dead.
        """
        point, (k, step, value) = s.point, receipt
        assert k is not None
        links = dict(point.links) if point else {}
        following = dict(pairwise((*self._looks, None)))[step] if value is not None else None
        found = False
        if point is not None and not point.dead:
            if step == "holders":
                stale = NAMES[k] in links and links[NAMES[k]] != value
                found = point.open or (stale and self.mutation != "skip-holders")
            elif step == "probe":
                reached = isinstance(value, float) and value >= point.floor - TOLERANCE
                found = not point.open and NAMES[k] not in links and reached
            else:
                found = point.open
        done = found or following is None
        after = s if done else _keep_handling(s, Receipt(k, str(following), value))
        yield f"{NAMES[k]}: {step}", _requested(after, int(self.scenario.two_topics)) if found else after

    @property
    def _looks(self) -> tuple[str, ...]:
        if self.mutation == "query-probe-before-holders":
            return ("probe", "holders")
        return ("holders", "probe") if self.mutation == "query-open-points-once" else ("holders", "probe", "open")

    def _consume(self, s: State, c: int, me: Consumer) -> Iterator[Step]:
        if me.step == "idle":
            log = s.logs[self._topic(c)]
            if not self._reads(s, c) or me.next >= log:
                return
            yield self._taken(s, c, me, me.next + 1)
            if self.scenario.batches and log > me.next + 1:
                yield self._taken(s, c, me, log)
        elif me.step == "look":
            point = s.point
            was = (point.links, point.content, point.dead) if point and not point.open else ()
            version = point.version if point else 0
            high = max(s.logs) if self.mutation == "compare-offsets-of-two-topics" else s.logs[self._topic(c)]
            yield "notes the end and looks", _with(s, c, me._replace(step="open", seen=version, was=was, high=high))
        elif me.step == "open":
            yield from self._open(s, c, me)
        elif me.step == "note":
            yield "notes the end", _with(s, c, me._replace(step="read", high=s.logs[self._topic(c)]))
        elif me.step == "read":
            links, floor = self._top(s)
            high = s.logs[self._topic(c)] + 1 if self.mutation == "note-end-after-read" else me.high
            late = self.mutation == "close-before-publish"
            read = me._replace(read=(self.scenario.product[s.product], links, floor), high=high)
            yield "reads", _with(s, c, read._replace(step="close" if late else "publish"))
        elif me.step == "publish":
            after = "commit" if self.mutation == "close-before-publish" else "close"
            explicit = me.explicit and self.mutation != "publish-only-changed-sets"
            yield "publishes", _with(_published(s, me, explicit), c, me._replace(step=after))
        elif me.step == "close":
            yield from self._close(s, c, me)
        else:
            after = self._committed(s, c, me.end) if self._reads(s, c) else s
            yield "commits", _with(after, c, Consumer(next=me.end, covered=max(me.covered, me.high)))

    def _taken(self, s: State, c: int, me: Consumer, end: int) -> Step:
        """The runtime gives the stage one request of a batch: the last explicit one, or else the last."""
        explicit_offsets = s.explicit if self._topic(c) == 0 else ()
        asked = [offset for offset in explicit_offsets if me.next <= offset < end]
        one = end - 1
        if asked and self.mutation != "take-the-last-request-of-a-batch":
            one = asked[-1]
        explicit = one in explicit_offsets
        if one < me.covered and (not explicit or self.mutation == "cover-explicit-requests"):
            return "skips covered requests", _with(self._committed(s, c, end), c, me._replace(next=end))
        taken = me._replace(step="look", offset=me.next, end=end, explicit=explicit)
        return f"takes {end - me.next}", _with(s, c, taken)

    def _committed(self, s: State, c: int, end: int) -> State:
        topic = self._topic(c)
        return s._replace(committed=_swap(s.committed, topic, max(s.committed[topic], end)))

    def _open(self, s: State, c: int, me: Consumer) -> Iterator[Step]:
        point = s.point
        if (point.version if point else 0) == me.seen or self.mutation == "open-without-condition":
            links = point.links if point else NOTHING
            is_open = self.mutation != "do-not-open"
            floor, content = (point.floor, point.content) if point else (9.0, None)
            opened = Point(me.seen + 1, c, is_open, links, floor, content, False)
            after = "note" if self.mutation == "note-end-after-open" else "read"
            yield "opens", _with(s._replace(point=opened), c, me._replace(step=after))
        elif self.mutation == "give-up-when-another-opened":
            yield (
                "finds that another opened, and gives up",
                _with(s, c, me._replace(step="commit", seen=0, was=(), high=0)),
            )
        else:
            yield "finds that another opened", _with(s, c, me._replace(step="look", seen=0, was=(), high=0))

    def _close(self, s: State, c: int, me: Consumer) -> Iterator[Step]:
        assert me.read is not None
        assert s.point is not None
        content, links, floor = me.read
        after = "publish" if self.mutation == "close-before-publish" else "commit"
        mine = me if after == "publish" else me._replace(seen=0, was=(), read=None)
        unchanged = (s.point.version, s.point.writer) == (me.seen + 1, c)
        if unchanged or self.mutation == "close-without-condition":
            live = content is not None
            closed = Point(me.seen + 2, c, False, links if live else NOTHING, floor, content, not live)
            yield "closes", _with(s._replace(point=closed), c, mine._replace(step=after))
        else:
            # The consumer that has opened since reads later, or leaves the point open for the next receipt.
            yield "finds that another opened since, and leaves it", _with(s, c, mine._replace(step=after))

    def _score(self, s: State, k: int) -> float | None:
        script = self.scenario.scores[k]
        return script[s.keywords[k]] if script else None

    def _top(self, s: State) -> tuple[Links, float]:
        """The best live keyword, and the floor: the score that another keyword needs."""
        scores = [(self._score(s, k), NAMES[k]) for k in range(len(NAMES))]
        ranked = sorted(((score, name) for score, name in scores if score is not None), reverse=True)[:1]
        return frozenset((name, score) for score, name in ranked), ranked[0][0] if ranked else NO_FLOOR


def _published(s: State, me: Consumer, explicit: bool) -> State:
    """The stores drop an older link version. A set that look found closed is not published again, unless the request
    is explicit.
    """
    assert me.read is not None
    content, links, _ = me.read
    now = (links if content is not None else NOTHING, content, content is None)
    if (me.was == now and not explicit) or s.published[0] >= me.seen + 2:
        return s
    return s._replace(published=(me.seen + 2, None if content is None else (content, links)))


def _resumed(s: State) -> State:
    """The owner gets the partition. It starts at what is committed, and still has what it covered before."""
    return _with(s, s.owner, Consumer(next=s.committed[0], covered=s.consumers[s.owner].covered))


def _requested(s: State, topic: int = 0) -> State:
    return s._replace(logs=_swap(s.logs, topic, s.logs[topic] + 1))


def _keep_handling(s: State, receipt: Receipt) -> State:
    return s._replace(handling=tuple(sorted((*s.handling, receipt), key=str)))


def _with(s: State, c: int, me: Consumer) -> State:
    return s._replace(consumers=_swap(s.consumers, c, me))


def _swap(items: tuple, index: int, value: object) -> tuple:  # type: ignore[type-arg]
    return (*items[:index], value, *items[index + 1 :])
