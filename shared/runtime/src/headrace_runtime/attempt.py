"""One try at applying changes: a refused batch is bisected, a batch that breaks the store is narrowed down."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from headrace_schemas.fields import RecordKind
from headrace_worker.stage import Applied, BatchRejected, Outcome, Record, Rejected, Stage, Superseded, Unavailable

MAX_LONE_FAILURES = 3
"""Lone failures of one search, with no success in it, after which the store and not a change is at fault."""

T = TypeVar("T")


@dataclass
class _Search:
    """A search for the change that breaks the store. `successes`: the stage's counts by kind when it began."""

    successes: Counter[RecordKind]
    lone_failures: int = 0


class Attempts:
    """Applies changes to one stage and remembers which change failed alone, and how often.

    A change is `poison` when it fails alone `poison_tries` times while others of its kind succeed and the store
    answers its health check: then the change is what breaks the store. Of its kind, because each kind has its own
    collection, index or table, and one of them may fail as a whole. Nothing else makes a dead letter of an unavailable
    store.
    """

    def __init__(
        self, stage: Stage[Any], *, timeout: float, poison_tries: int, beat: Callable[[], None] = lambda: None
    ) -> None:
        self._stage = stage
        self._timeout = timeout
        self._beat = beat
        self._until = 0.0
        self._poison_tries = poison_tries
        self._successes: Counter[RecordKind] = Counter()
        self._lone_failures: Counter[tuple[str, str, int]] = Counter()
        self._successes_before: dict[tuple[str, str, int], int] = {}

    async def apply(self, changes: Sequence[Record]) -> list[Outcome]:
        """An outcome for each change, in order; Unavailable for those of which nothing can be said yet.

        Takes three times `timeout` at most, however many bad changes a slow store has to be asked about.
        """
        self._until = time.monotonic() + 2 * self._timeout
        return await self._apply(changes)

    async def _apply(self, changes: Sequence[Record]) -> list[Outcome]:
        if time.monotonic() > self._until:
            return [Unavailable("stage", "out of time while the changes at fault were looked for")] * len(changes)
        self._beat()
        try:
            async with asyncio.timeout(self._timeout):
                outcomes = list(await self._stage.apply(changes))
            if len(outcomes) != len(changes):
                raise RuntimeError(f"the stage answered {len(outcomes)} outcomes to {len(changes)} changes")
        except BatchRejected as error:
            return await self._bisect(changes, error.rejection)
        except Unavailable as error:
            outcomes = [error] * len(changes)
        except TimeoutError:
            outcomes = [Unavailable("stage", f"no answer within {self._timeout:g} s")] * len(changes)
        except Exception as error:
            # A fault of the stage's own code says nothing about the data: it is tried like a store that answers 500.
            fault = Unavailable("stage", f"failed with {type(error).__name__}", suspect=True)
            fault.__cause__ = error
            outcomes = [fault] * len(changes)
        self._successes.update(
            change.kind
            for change, outcome in zip(changes, outcomes, strict=True)
            if isinstance(outcome, Applied | Superseded)
        )
        if self._lone_failures:
            self._forget_settled(changes, outcomes)
        return outcomes

    async def narrow_down(self, changes: Sequence[Record]) -> list[Outcome]:
        """Like `apply`, in ever smaller parts where the store fails, so that one change does not hold the others."""
        self._until = time.monotonic() + 2 * self._timeout
        return await self._narrow(changes, _Search(self._successes.copy()))

    async def _narrow(self, changes: Sequence[Record], search: _Search) -> list[Outcome]:
        outcomes = await self._apply(changes)
        suspects = [i for i, outcome in enumerate(outcomes) if isinstance(outcome, Unavailable) and outcome.suspect]
        if len(changes) == 1 and suspects:
            search.lone_failures += 1
            return [await self._verdict(changes[0], outcomes[0], search)]
        kinds = {changes[i].kind for i in suspects}
        hopeless = search.lone_failures >= MAX_LONE_FAILURES and not any(
            self._successes[kind] > search.successes[kind] for kind in kinds
        )
        if not suspects or hopeless:
            return outcomes
        for half in _halves(suspects):
            for index, outcome in zip(half, await self._narrow([changes[i] for i in half], search), strict=True):
                outcomes[index] = outcome
        return outcomes

    async def _verdict(self, change: Record, outcome: Outcome, search: _Search) -> Outcome:
        assert isinstance(outcome, Unavailable)
        name = (change.kind, change.id, change.version)
        before = self._successes_before.setdefault(name, search.successes[change.kind])
        self._lone_failures[name] += 1
        if self._lone_failures[name] < self._poison_tries or self._successes[change.kind] == before:
            return outcome
        try:
            await self._stage.check()
        except Unavailable as error:
            return error
        detail = f"failed alone {self._lone_failures.pop(name)} times on a healthy store: {outcome.detail}"
        del self._successes_before[name]
        return Rejected("poison", detail, (outcome.store,))

    def _forget_settled(self, changes: Sequence[Record], outcomes: Sequence[Outcome]) -> None:
        for change, outcome in zip(changes, outcomes, strict=True):
            if not isinstance(outcome, Unavailable):
                name = (change.kind, change.id, change.version)
                self._lone_failures.pop(name, None)
                self._successes_before.pop(name, None)

    async def _bisect(self, changes: Sequence[Record], rejection: Rejected) -> list[Outcome]:
        if len(changes) == 1:
            return [rejection]
        return [outcome for half in _halves(changes) for outcome in await self._apply(half)]


def _halves(things: Sequence[T]) -> list[Sequence[T]]:
    middle = len(things) // 2
    return [part for part in (things[:middle], things[middle:]) if part]
