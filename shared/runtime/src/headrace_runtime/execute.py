"""From decoded items to settled ones: the newest of each entity is applied until the store has answered for it."""

from collections.abc import Awaitable, Callable, Iterable, Sequence

from headrace_runtime.attempt import Attempts
from headrace_runtime.decoder import Decoded
from headrace_runtime.items import Settled
from headrace_runtime.newest import newest_first
from headrace_runtime.retry import Stopping, retrying
from headrace_worker.settings import BatchSettings
from headrace_worker.stage import Applied, Outcome, Output, Rejected, Superseded, Unavailable

Publish = Callable[[Sequence[tuple[Decoded, Output]]], Awaitable[None]]
"""Publishes outputs and waits for their acknowledgement; raises Unavailable without it."""


class Executor:
    """Settles a batch. `publish` takes the outputs; `on_unavailable` is told of each failed try."""

    def __init__(
        self,
        attempts: Attempts,
        settings: BatchSettings,
        stopping: Stopping,
        *,
        publish: Publish,
        max_output_bytes: int,
        on_unavailable: Callable[[Unavailable], None],
    ) -> None:
        self._attempts = attempts
        self._settings = settings
        self._stopping = stopping
        self._publish = publish
        self._max_output_bytes = max_output_bytes
        self._on_unavailable = on_unavailable

    async def settle(self, items: Iterable[Decoded]) -> list[Settled]:
        """What became of every item. An entity's next newest is applied only where its newest was rejected.

        Raises Unavailable after `give_back_after` seconds, or when the worker stops: nothing may be committed then.
        """
        settled: list[Settled] = []
        candidates = list(newest_first(items).values())
        while candidates:
            outcomes = await self._until_answered([of_entity[0] for of_entity in candidates])
            left = []
            for of_entity, outcome in zip(candidates, outcomes, strict=True):
                if isinstance(outcome, Rejected):
                    settled.append(Settled(of_entity[0], rejection=outcome))
                    left += [of_entity[1:]] if len(of_entity) > 1 else []
                else:
                    settled.append(Settled(of_entity[0], superseded=isinstance(outcome, Superseded)))
                    if len(of_entity) > 1:
                        settled += [Settled(item, superseded=True) for item in of_entity[1:]]
            candidates = left
        return settled

    async def _until_answered(self, items: Sequence[Decoded]) -> list[Outcome]:
        answered: dict[int, Outcome] = {}
        suspect = False
        async for attempt in retrying(self._settings, self._stopping, self._on_unavailable):
            with attempt:
                waiting = [index for index in range(len(items)) if index not in answered]
                changes = [items[index].change for index in waiting]
                outcomes = await (self._attempts.narrow_down if suspect else self._attempts.apply)(changes)
                # What is settled goes out before anything waits, so that a delete is not held up by a model server.
                answered |= await self._published(items, zip(waiting, outcomes, strict=True))
                failures = [outcome for outcome in outcomes if isinstance(outcome, Unavailable)]
                if failures:
                    suspect = any(failure.suspect for failure in failures)
                    raise failures[0]
        return [answered[index] for index in range(len(items))]

    async def _published(self, items: Sequence[Decoded], outcomes: Iterable[tuple[int, Outcome]]) -> dict[int, Outcome]:
        known: dict[int, Outcome] = {i: outcome for i, outcome in outcomes if not isinstance(outcome, Unavailable)}
        outputs: list[tuple[Decoded, Output]] = []
        for index, outcome in known.items():
            if not isinstance(outcome, Applied) or not outcome.outputs:
                continue
            largest = max(len(output.key) + len(output.value) for output in outcome.outputs)
            if largest > self._max_output_bytes:
                detail = f"what follows from it has {largest} bytes, a topic takes {self._max_output_bytes}"
                known[index] = Rejected("too_large", detail, ("output",))
            else:
                outputs += [(items[index], output) for output in outcome.outputs]
        if outputs:
            await self._publish(outputs)
        return known
