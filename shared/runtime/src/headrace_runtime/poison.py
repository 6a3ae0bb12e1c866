"""The search for the one change that makes a store fail, so that it does not delay the others."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from headrace_schemas.fields import RecordKind
from headrace_worker.parts import halves
from headrace_worker.stage import Outcome, Record, Rejected, Unavailable

MAX_LONE_FAILURES = 3
"""After this many single-change failures without a success, blame the store."""


@dataclass
class _Round:
    """One search. `successes`: the counts by kind at its start."""

    successes: Counter[RecordKind]
    lone_failures: int = 0


class PoisonSearch:
    """Applies changes in ever smaller parts, and remembers which change failed alone and how often.

    A change is `poison` if it fails alone `poison_tries` times while other changes of its kind succeed and the store
    passes its health check. Only changes of its kind count, because each kind has its own collection, index or table,
    which can fail as a whole. No other failure of a store makes a dead letter.

    `apply` makes one attempt and counts in `successes` the changes of each kind that the store has taken; `check`
    raises Unavailable unless the store is healthy.
    """

    def __init__(
        self,
        apply: Callable[[Sequence[Record]], Awaitable[list[Outcome]]],
        check: Callable[[], Awaitable[None]],
        poison_tries: int,
    ) -> None:
        self._apply = apply
        self._check = check
        self._poison_tries = poison_tries
        self.successes: Counter[RecordKind] = Counter()
        self.lone_failures: Counter[tuple[str, str, int]] = Counter()
        self._successes_before: dict[tuple[str, str, int], int] = {}
        self.verdicts: dict[tuple[str, str, int], Rejected] = {}

    async def narrow_down(self, changes: Sequence[Record]) -> list[Outcome]:
        """An outcome for each change, in order; Unavailable where the store failed or has not answered.

        A verdict is remembered until the whole batch has its outcomes. If the batch is given back before, and read
        again, only the others are tried.
        """
        known = self.verdicts.copy()
        rest = [change for change in changes if _name(change) not in known]
        found = iter(await self._narrow(rest, _Round(self.successes.copy())) if rest else ())
        outcomes = [known.get(_name(change)) or next(found) for change in changes]
        if not any(isinstance(outcome, Unavailable) for outcome in outcomes):
            self.verdicts.clear()
        return outcomes

    def forget_answered(self, changes: Sequence[Record], outcomes: Sequence[Outcome]) -> None:
        """Drops the failures of every change that has an answer now."""
        for change, outcome in zip(changes, outcomes, strict=True):
            if not isinstance(outcome, Unavailable):
                name = _name(change)
                self.lone_failures.pop(name, None)
                self._successes_before.pop(name, None)
                self.verdicts.pop(name, None)

    async def _narrow(self, changes: Sequence[Record], search: _Round) -> list[Outcome]:
        outcomes = await self._apply(changes)
        suspects = [i for i, outcome in enumerate(outcomes) if isinstance(outcome, Unavailable) and outcome.suspect]
        if len(changes) == 1 and suspects:
            search.lone_failures += 1
            return [await self._verdict(changes[0], outcomes[0], search)]
        kinds = {changes[i].kind for i in suspects}
        hopeless = search.lone_failures >= MAX_LONE_FAILURES and not any(
            self.successes[kind] > search.successes[kind] for kind in kinds
        )
        if not suspects or hopeless:
            return outcomes
        for half in halves(suspects):
            for index, outcome in zip(half, await self._narrow([changes[i] for i in half], search), strict=True):
                outcomes[index] = outcome
        return outcomes

    async def _verdict(self, change: Record, outcome: Outcome, search: _Round) -> Outcome:
        assert isinstance(outcome, Unavailable)
        name = _name(change)
        before = self._successes_before.setdefault(name, search.successes[change.kind])
        self.lone_failures[name] += 1
        if self.lone_failures[name] < self._poison_tries or self.successes[change.kind] == before:
            return outcome
        try:
            await self._check()
        except Unavailable as error:
            return error
        detail = f"failed alone {self.lone_failures.pop(name)} times on a healthy store: {outcome.detail}"
        del self._successes_before[name]
        self.verdicts[name] = Rejected("poison", detail, (outcome.store,))
        return self.verdicts[name]


def _name(change: Record) -> tuple[str, str, int]:
    return change.kind, change.id, change.version
