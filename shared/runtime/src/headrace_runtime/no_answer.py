"""The search for a change that has no answer in time, so that it does not delay the others.

A slow store and a change that takes too long look the same. So a change is at fault only with proof that the store
works: the store applies other changes of its kind in a sixth of the time, again and again, and has no answer for this
one alone in the whole time. Every sign that the store itself was slow resets the counts of all changes.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence

from headrace_schemas.fields import RecordKind
from headrace_worker.stage import Applied, NoAnswer, Outcome, Record, Rejected, Unavailable

PROBES = 3
"""Single changes at the start of a search: if none of them has an answer, the store is at fault and the search ends."""
PIECES = 8
"""Parts of one step of the search. One bad change costs one short wait a step, and four steps find it in 4,000."""
SHORT = 1 / 6
"""Time for a part, as a share of `timeout`: 10 s by default."""
MOST_COUNTS = 1000
"""With more counts than this, all of them start again."""
MOST_HUNG = 200
"""Calls without an answer that are remembered: more than one batch has."""

Name = tuple[RecordKind, str, int]
Call = Callable[[Sequence[Record], float], Awaitable[list[Outcome]]]
"""Calls the stage once, for at most so many seconds. An outcome for each change, in order."""
Apply = Callable[[Sequence[Record]], Awaitable[list[Outcome]]]


class NoAnswerSearch:
    """Remembers the changes that had no answer, also after their batch was given back, and tries them apart.

    A change is `poison` if it had no answer alone, within `timeout` seconds, `tries` times, and if before each of these
    the store applied other changes of its kind within the short time, and if the store passes its health check. A call
    without an answer whose changes are all answered later shows that the store was slow: then all counts start again.

    `call` makes one call of the stage; `check` raises Unavailable unless the store is healthy.
    """

    def __init__(self, call: Call, check: Callable[[], Awaitable[None]], *, timeout: float, tries: int) -> None:
        self._call = call
        self._check = check
        self._timeout = timeout
        self._short = timeout * SHORT
        self._tries = tries
        self._counts: Counter[Name] = Counter()
        self._proofs: Counter[RecordKind] = Counter()
        self._unanswered: dict[Name, int] = {}
        """The proofs for its kind when the change last counted, or when it first had no answer."""
        self._hung: deque[set[Name]] = deque()
        """The changes of each call without an answer, less those that have an answer now."""
        self._verdicts: dict[Name, Rejected] = {}
        self._searches = 0

    async def apply(self, changes: Sequence[Record], others: Apply, until: float) -> list[Outcome]:
        """An outcome for each change, in order. `others` applies those that have not been without an answer.

        The search starts no call after `until`, in the time of the event loop.
        """
        if not (self._unanswered or self._verdicts):
            return await self._apply_others(changes, others)
        search = _Search(changes, [NoAnswer("stage", "no answer in time")] * len(changes), until)
        waiting: list[int] = []
        rest: list[int] = []
        for index, name in enumerate(map(_name, changes)):
            if name in self._verdicts:
                search.outcomes[index] = self._verdicts[name]
            else:
                (waiting if name in self._unanswered else rest).append(index)
        if rest:
            search.fill(rest, await self._apply_others([changes[i] for i in rest], others))
        if waiting:
            await self._search(search, waiting)
        if not any(isinstance(outcome, Unavailable) for outcome in search.outcomes):
            # The batch will be committed. If one of its changes comes again, it is a replay, which is tried again.
            self._verdicts.clear()
        return search.outcomes

    def note(self, changes: Sequence[Record], outcomes: Sequence[Outcome], *, quick: bool) -> None:
        """Remembers what had no answer, and forgets what has one. `quick`: whether the call took the short time."""
        hung: set[Name] = set()
        answered: set[Name] = set()
        for change, outcome in zip(changes, outcomes, strict=True):
            name = _name(change)
            if isinstance(outcome, NoAnswer):
                hung.add(name)
                self._unanswered.setdefault(name, self._proofs[change.kind])
                continue
            self._unanswered.pop(name, None)
            if not isinstance(outcome, Unavailable):
                answered.add(name)
            if quick and isinstance(outcome, Applied) and not outcome.without_work:
                self._proofs[change.kind] += 1
        left = [group - answered for group in self._hung]
        if not all(left):
            # All of them have an answer now: the store was slow.
            self._counts.clear()
        self._hung = deque(filter(None, [*left, hung]), MOST_HUNG)

    async def _apply_others(self, changes: Sequence[Record], others: Apply) -> list[Outcome]:
        started = _now()
        outcomes = await others(changes)
        if self._unanswered or self._counts or NoAnswer in set(map(type, outcomes)):
            self.note(changes, outcomes, quick=_now() - started <= self._short)
        return outcomes

    async def _search(self, search: "_Search", waiting: Sequence[int]) -> None:
        self._searches += 1
        by_kind: dict[RecordKind, list[int]] = {}
        for index in waiting:
            by_kind.setdefault(search.changes[index].kind, []).append(index)
        for of_kind in by_kind.values():
            await self._probe(search, of_kind)
            await self._narrow(search, of_kind)
        for index in filter(search.is_unanswered, waiting):
            if not self._is_proved(search.changes[index]):
                # The store may need more than the short time for every change: the next attempt has the whole time.
                del self._unanswered[_name(search.changes[index])]
            elif _now() <= search.until - self._short:
                await self._try_alone(search, index)

    async def _probe(self, search: "_Search", waiting: Sequence[int]) -> None:
        """Tries single changes, others in each search, until there is a proof that the store works."""
        for number in range(min(PROBES, len(waiting))):
            if len(waiting) == 1 or any(self._is_proved(search.changes[i]) for i in waiting):
                return
            await self._try_parts(search, [[waiting[(self._searches * PROBES + number) % len(waiting)]]], search.until)

    async def _narrow(self, search: "_Search", waiting: Sequence[int]) -> None:
        """Tries ever smaller parts, down to one change, if there is a proof that the store works. Ends early enough to
        try one change alone, and the next search goes on from there.
        """
        parts = self._known_parts(search, waiting)
        while any(self._is_proved(search.changes[i]) for part in parts for i in part):
            smaller = [piece for part in parts for piece in pieces(part)]
            hung = await self._try_parts(search, smaller, search.until - self._timeout - self._short)
            left = [list(filter(search.is_unanswered, part)) for part in hung]
            parts = [part for part in left if len(part) > 1]

    def _known_parts(self, search: "_Search", waiting: Sequence[int]) -> list[list[int]]:
        """The waiting changes by the smallest call without an answer that they were in, less those that were alone."""
        smallest = {name: call for call in sorted(self._hung, key=len, reverse=True) for name in call}
        parts: dict[int, list[int]] = {}
        for index in waiting:
            # None: another change is a dead letter now, which explains the call without an answer.
            call = smallest.get(_name(search.changes[index]))
            if call is None or len(call) > 1:
                parts.setdefault(id(call), []).append(index)
        return list(parts.values())

    async def _try_parts(self, search: "_Search", parts: Sequence[Sequence[int]], until: float) -> list[Sequence[int]]:
        """Tries each part within the short time. Returns those without an answer."""
        hung = []
        for part in parts:
            if _now() > until:
                break
            await self._call_apart(search, part, self._short)
            if any(map(search.is_unanswered, part)):
                hung.append(part)
        return hung

    async def _try_alone(self, search: "_Search", index: int) -> None:
        change = search.changes[index]
        name = _name(change)
        # A store that drops calls now and then answers one of the two.
        await self._call_apart(search, [index], self._short)
        if search.is_unanswered(index):
            await self._call_apart(search, [index], self._timeout)
        outcome = search.outcomes[index]
        if not isinstance(outcome, NoAnswer):
            return
        if len(self._counts) >= MOST_COUNTS:
            self._counts.clear()
        self._counts[name] += 1
        self._unanswered[name] = self._proofs[change.kind]
        if self._counts[name] < self._tries:
            return
        try:
            await self._check()
        except Unavailable as error:
            search.outcomes[index] = error
            return
        # The count stays: after a replay, or if the batch comes again, one more try without an answer is enough.
        detail = f"no answer {self._tries} times alone, while the store applied other changes: {outcome.detail}"
        self._verdicts[name] = search.outcomes[index] = Rejected("poison", detail, (outcome.store, "no answer"))
        del self._unanswered[name]
        self._hung = deque((group for group in self._hung if name not in group), MOST_HUNG)

    async def _call_apart(self, search: "_Search", part: Sequence[int], seconds: float) -> None:
        changes = [search.changes[i] for i in part]
        started = _now()
        outcomes = await self._call(changes, seconds)
        self.note(changes, outcomes, quick=_now() - started <= self._short)
        search.fill(part, outcomes)

    def _is_proved(self, change: Record) -> bool:
        name = _name(change)
        return self._proofs[change.kind] > self._unanswered.get(name, self._proofs[change.kind])


class _Search:
    """One attempt at changes, of which some had no answer. `outcomes`: in the order of `changes`."""

    def __init__(self, changes: Sequence[Record], outcomes: list[Outcome], until: float) -> None:
        self.changes = changes
        self.outcomes = outcomes
        self.until = until

    def fill(self, indexes: Sequence[int], outcomes: Sequence[Outcome]) -> None:
        for index, outcome in zip(indexes, outcomes, strict=True):
            self.outcomes[index] = outcome

    def is_unanswered(self, index: int) -> bool:
        return isinstance(self.outcomes[index], NoAnswer)


def pieces(indexes: Sequence[int]) -> list[Sequence[int]]:
    """At most `PIECES` parts of equal size, none of them empty."""
    size = -(-len(indexes) // PIECES)
    return [indexes[start : start + size] for start in range(0, len(indexes), size)]


def _name(change: Record) -> Name:
    return change.kind, change.id, change.version


def _now() -> float:
    return asyncio.get_running_loop().time()
