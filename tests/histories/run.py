"""Runs groups of histories, and finds the smallest history that fails."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from histories.execution import SERVER_OF, Control, Execution
from histories.generator import named
from histories.invariants import violations
from histories.shrinking import smaller
from histories.steps import History
from histories.workers import HistoryWorker, Refused

FIRST_OUTAGE, LAST_OUTAGE = 2, 9
"""Rounds of a group, between which a store is killed."""
SMALLER_WITHIN = 120.0
"""Seconds."""
TRIES = 3
"""A history that fails by a race does not fail each time."""


@dataclass(frozen=True, slots=True)
class Result:
    """`failed`: by place in the group, what was wrong with a history. `records`: on all topics of the group."""

    histories: int
    records: int
    failed: Mapping[int, list[str]]


class Runner:
    """Runs histories on workers that are open. `control`: of the stores, to kill them."""

    def __init__(self, workers: Mapping[str, HistoryWorker], refused: Refused, control: Control | None = None) -> None:
        self._workers = workers
        self._refused = refused
        self._control = control

    async def run(self, histories: Sequence[History], seed: str, killed: Sequence[str] = ()) -> Result:
        """Runs the histories side by side. `seed`: of the faults. `killed`: workers whose stores are killed once."""
        random = Random(seed)
        outages = {random.randint(FIRST_OUTAGE, LAST_OUTAGE): worker for worker in killed if worker in SERVER_OF}
        execution = Execution(self._workers, self._refused, named(histories), random, self._control, outages)
        await execution.run()
        records = sum(len(records) for one in execution.running for records in one.log.topics.values())
        places = {one.history.name: place for place, one in enumerate(execution.running)}
        wrong = await violations(execution, self._workers)
        return Result(len(histories), records, {places[name]: said for name, said in wrong.items()})

    async def smallest(self, failing: History) -> tuple[History, list[str]]:
        """The smallest history found that fails like this one does, alone or beside others, and what is wrong with it.

        Each round runs every history that is one step smaller.
        """
        said = (await self.run([failing] * TRIES, "shrink")).failed
        if not said:
            return failing, []
        found = next(iter(said.values()))
        until = time.monotonic() + SMALLER_WITHIN
        while (candidates := smaller(failing)) and time.monotonic() < until:
            result = await self.run([one for one in candidates for _ in range(TRIES)], "shrink")
            if not result.failed:
                break
            place = min(result.failed)
            failing, found = candidates[place // TRIES], result.failed[place]
        return failing, found
