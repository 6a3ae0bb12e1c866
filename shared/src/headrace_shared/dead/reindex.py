"""Makes the index again from the topics."""

from collections.abc import Callable
from dataclasses import dataclass

from headrace_shared.dead.index import LetterIndex
from headrace_shared.dead.settings import IndexSettings


@dataclass(frozen=True, slots=True)
class Reindexed:
    """How many records were read. `decisions`: of operators, which the audit still has."""

    letters: int
    receipts: int
    decisions: int


async def reindex(settings: IndexSettings, index: LetterIndex, on_progress: Callable[[int, int], None]) -> Reindexed:
    """Folds every dead letter and every receipt that retention has kept into the index again, and what operators have
    decided. Takes nothing away, and the worker may run beside it.

    `on_progress` is told how many records have been read, and of how many. Raises Unavailable.
    """
    raise NotImplementedError
