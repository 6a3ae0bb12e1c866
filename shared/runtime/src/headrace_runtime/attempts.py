"""Gives the newest change of each entity to a stage, again and again, until the stage has answered for every change.

`RetryLoop` repeats attempts while a store is unavailable. `Attempts` makes one attempt: it halves a batch that the
store refused without naming the change, and starts the search for a change that makes the store fail (`poison`) or has
no answer in time (`no_answer`).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from headrace_runtime.answers import ANSWERS, Answered
from headrace_runtime.decoder import Decoded, Position, position
from headrace_runtime.forget_records import forget
from headrace_runtime.no_answer import Apply, NoAnswerSearch
from headrace_runtime.poison import PoisonSearch
from headrace_runtime.publisher import RecordsRefused
from headrace_runtime.stopping import Stopping
from headrace_runtime.timeline import Attempt, Publication, Timeline
from headrace_schemas.digest import digest_of
from headrace_schemas.forget_record import Forget
from headrace_worker.parts import halves
from headrace_worker.settings import BatchSettings
from headrace_worker.stage import (
    Applied,
    BatchRejected,
    NoAnswer,
    Outcome,
    Output,
    Record,
    Rejected,
    Stage,
    Unavailable,
)

FIRST_PAUSE = 0.2
"""Upper bound of the first pause, seconds; it doubles with each attempt, up to `backoff_max`."""
MOST_ACKNOWLEDGED = 10_000
"""Records whose outputs are remembered. If there are more, the outputs of the oldest may be published twice."""

Refused = Callable[[Sequence[Answered]], None]
"""Gets the rejected records of an attempt before its outputs are published; raises to give up the batch."""
OnUnavailable = Callable[[Unavailable], None]
Publish = Callable[[Sequence[tuple[Decoded, Output]]], Awaitable[None]]
"""Publishes outputs and waits for their acknowledgement; raises Unavailable without it."""


class RetryLoop:
    """Repeats attempts until the stage has answered for a whole batch.

    `publish` publishes the outputs; `on_unavailable` is called after each attempt that leaves changes unanswered, and
    `on_retry` as well if another attempt follows.
    """

    def __init__(
        self,
        attempts: "Attempts",
        settings: BatchSettings,
        stopping: Stopping,
        *,
        publish: Publish,
        max_output_bytes: int,
        on_unavailable: OnUnavailable,
        on_retry: OnUnavailable = lambda error: None,
    ) -> None:
        self._attempts = attempts
        self._settings = settings
        self._stopping = stopping
        self._publish = publish
        self._max_output_bytes = max_output_bytes
        self._on_unavailable = on_unavailable
        self._on_retry = on_retry
        # Outputs that were published before their topic was held: its records are read again until they are answered.
        self._acknowledged: dict[Position, set[int]] = {}

    async def answers(
        self, decoded: Iterable[Decoded], refused: Refused = lambda rejected: None, timeline: Timeline | None = None
    ) -> list[Answered]:
        """The stage's answer for every record. The next newest change of an entity is tried only if its newest is
        rejected; the older ones are superseded. Other content under the newest version is tried as well, after it.
        `timeline` gets the attempts and the publications.

        Raises Unavailable after `give_back_after` seconds, or when the worker stops, and what `refused` raises: nothing
        may be committed then.
        """
        timeline = timeline or Timeline(polled=time.time_ns())
        answered: list[Answered] = []
        candidates = newest_first(decoded)
        while candidates:
            outcomes = await self._until_answered([of_entity[0] for of_entity in candidates], refused, timeline)
            left = []
            for of_entity, outcome in zip(candidates, outcomes, strict=True):
                if isinstance(outcome, Rejected):
                    answered.append(Answered(*of_entity[0], rejection=outcome))
                    others = of_entity[1:]
                else:
                    answered.append(Answered(*of_entity[0], ANSWERS[type(outcome)]))
                    others = of_entity[1:] and _other_content(of_entity[1:], answered)
                left += [others] if others else []
            candidates = left
        if self._acknowledged:
            for one in answered:
                self._acknowledged.pop(position(one.record), None)
        return answered

    async def _until_answered(self, newest: Sequence[Decoded], refused: Refused, timeline: Timeline) -> list[Outcome]:
        answered: dict[int, Outcome] = {}
        suspect = False
        async for attempt in retrying(self._settings, self._stopping, self._on_unavailable, self._on_retry):
            with attempt:
                waiting = [index for index in range(len(newest)) if index not in answered]
                records = [newest[index] for index in waiting]
                started = time.time_ns()
                apply = self._attempts.narrow_down if suspect else self._attempts.apply
                outcomes = await apply([record.change for record in records])
                failures = [outcome for outcome in outcomes if isinstance(outcome, Unavailable)]
                timeline.attempts.append(Attempt(started, time.time_ns(), records, failures[0] if failures else None))
                # Outputs are published before any pause, so that a model server that is down does not delay a delete.
                answered |= await self._published(newest, zip(waiting, outcomes, strict=True), refused, timeline)
                if failures:
                    suspect = any(failure.suspect for failure in failures)
                    raise failures[0]
        return [answered[index] for index in range(len(newest))]

    async def _published(
        self,
        newest: Sequence[Decoded],
        outcomes: Iterable[tuple[int, Outcome]],
        refused: Refused,
        timeline: Timeline,
    ) -> dict[int, Outcome]:
        known: dict[int, Outcome] = {i: outcome for i, outcome in outcomes if not isinstance(outcome, Unavailable)}
        outputs: list[tuple[int, Output]] = []
        for index, outcome in known.items():
            if not isinstance(outcome, Applied) or not outcome.outputs:
                continue
            largest = max(len(output.key) + len(output.value) for output in outcome.outputs)
            if largest > self._max_output_bytes:
                detail = f"an output of the change has {largest} bytes, a topic accepts {self._max_output_bytes}"
                known[index] = Rejected("too_large", detail, ("output",))
            else:
                outputs += [(index, output) for output in outcome.outputs]
        if rejected := [(i, outcome) for i, outcome in known.items() if isinstance(outcome, Rejected)]:
            refused([Answered(*newest[index], rejection=outcome) for index, outcome in rejected])
        if outputs:
            if self._acknowledged:
                outputs = [one for one in outputs if hash(one[1]) not in self._acknowledged_of(newest[one[0]])]
            of_records = [(newest[index], output) for index, output in outputs]
            started = time.time_ns()
            try:
                await self._publish(of_records)
            except RecordsRefused as error:
                rejection = Rejected("too_large", error.detail, ("output", "refused"))
                indexes = {outputs[place][0] for place in error.indexes}
                known |= dict.fromkeys(indexes, rejection)
                try:
                    refused([Answered(*newest[index], rejection=rejection) for index in indexes])
                except Exception:
                    self._note_acknowledged(one for at, one in enumerate(of_records) if at not in error.indexes)
                    raise
            finally:
                timeline.publications.append(Publication(started, time.time_ns(), of_records))
        return known

    def _acknowledged_of(self, decoded: Decoded) -> set[int]:
        return self._acknowledged.get(position(decoded.record), set())

    def _note_acknowledged(self, published: Iterable[tuple[Decoded, Output]]) -> None:
        for decoded, output in published:
            self._acknowledged.setdefault(position(decoded.record), set()).add(hash(output))
        while len(self._acknowledged) > MOST_ACKNOWLEDGED:
            # Another worker may have the partition now, so that its records are never answered here.
            del self._acknowledged[next(iter(self._acknowledged))]


class Attempts:
    """Applies changes to one stage, one attempt at a time.

    `timeout`: seconds for one call of the stage. `beat` is called after each call. `poison_tries`: see `PoisonSearch`.
    """

    def __init__(
        self, stage: Stage[Any], *, timeout: float, poison_tries: int, beat: Callable[[], None] = lambda: None
    ) -> None:
        self._stage = stage
        self._timeout = timeout
        self._beat = beat
        self._until = 0.0
        self._poison = PoisonSearch(self._apply, stage.check, poison_tries)
        self._slow = NoAnswerSearch(self._call, stage.check, timeout=timeout, tries=poison_tries)
        self._always_answered = True

    async def apply(self, changes: Sequence[Record]) -> list[Outcome]:
        """An outcome for each change, in order; Unavailable for those that the stage has not answered for.

        Takes at most three times `timeout`, however many changes of the batch a slow store refuses.
        """
        return await self._begin(changes, self._apply)

    async def narrow_down(self, changes: Sequence[Record]) -> list[Outcome]:
        """Like `apply`, in ever smaller parts where the store fails, so that one change does not delay the others."""
        return await self._begin(changes, self._poison.narrow_down)

    async def _begin(self, changes: Sequence[Record], apply: Apply) -> list[Outcome]:
        self._until = asyncio.get_running_loop().time() + 2 * self._timeout
        if self._always_answered:
            outcomes = await apply(changes)
            self._always_answered = NoAnswer not in set(map(type, outcomes))
            if not self._always_answered:
                self._slow.note(changes, outcomes, quick=False)
            return outcomes
        return await self._slow.apply(changes, apply, self._until)

    async def _apply(self, changes: Sequence[Record]) -> list[Outcome]:
        return await self._call(changes, self._timeout)

    async def _call(self, changes: Sequence[Record], seconds: float) -> list[Outcome]:
        if asyncio.get_running_loop().time() > self._until:
            return [Unavailable("stage", "out of time in the search for the change at fault")] * len(changes)
        try:
            async with asyncio.timeout(seconds):
                taken_back = changes[0] if changes and isinstance(changes[0], Forget) else None
                answer = forget(self._stage, taken_back) if taken_back else self._stage.apply(changes)
                outcomes = list(await answer)
            if len(outcomes) != len(changes):
                raise RuntimeError(f"the stage returned {len(outcomes)} outcomes for {len(changes)} changes")
        except BatchRejected as error:
            return await self._bisect(changes, error.rejection, seconds)
        except Unavailable as error:
            outcomes = [error] * len(changes)
        except TimeoutError:
            outcomes = [NoAnswer("stage", f"no answer within {seconds:g} s")] * len(changes)
        except Exception as error:
            # An error in the stage's own code is not about the data: it is handled like a store that answers 500.
            fault = Unavailable("stage", f"failed with {type(error).__name__}", suspect=True)
            fault.__cause__ = error
            outcomes = [fault] * len(changes)
        finally:
            self._beat()
        self._poison.successes.update(
            change.kind for change, outcome in zip(changes, outcomes, strict=True) if type(outcome) in ANSWERS
        )
        if self._poison.lone_failures or self._poison.verdicts:
            self._poison.forget_answered(changes, outcomes)
        return outcomes

    async def _bisect(self, changes: Sequence[Record], rejection: Rejected, seconds: float) -> list[Outcome]:
        if len(changes) == 1:
            return [rejection]
        return [outcome for half in halves(changes) for outcome in await self._call(half, seconds)]


def _other_content(others: Sequence[Decoded], answered: list[Answered]) -> list[Decoded]:
    """The changes that have other content under the version of the last answered one, which the stage compares.

    The older ones are superseded, and a repetition of that change has its answer; both are added to `answered`.
    """
    newest = answered[-1]
    digest = digest_of(newest.change)
    different = []
    for other in others:
        if other.change.version != newest.change.version:
            answered.append(Answered(*other, "superseded"))
        elif digest_of(other.change) == digest:
            answered.append(Answered(*other, newest.answer))
        else:
            different.append(other)
    return different


def newest_first(records: Iterable[Decoded]) -> list[list[Decoded]]:
    """The records of each entity, by (kind, id), newest version first.

    Of equal versions the lowest offset comes first, and a live record before a replay of it.
    """
    by_entity: dict[tuple[str, str], list[Decoded]] = {}
    for record in records:
        by_entity.setdefault((record.change.kind, record.change.id), []).append(record)
    for of_entity in by_entity.values():
        if len(of_entity) > 1:
            of_entity.sort(key=lambda record: (-record.change.version, record.replayed, record.record.offset))
    return list(by_entity.values())


def retrying(
    settings: BatchSettings, stopping: Stopping, on_unavailable: OnUnavailable, on_retry: OnUnavailable
) -> AsyncRetrying:
    """Retries on Unavailable until `give_back_after` seconds have passed or the worker stops, then raises it.

    Pauses grow exponentially, with full jitter. `on_unavailable` is called after each failure, before the pause, and
    then `on_retry` if another attempt follows.
    """

    def failure(state: RetryCallState) -> Any:  # an Unavailable: nothing else is tried again
        return state.outcome.exception() if state.outcome else None

    def over(state: RetryCallState) -> bool:
        waited = (state.seconds_since_start or 0.0) + state.upcoming_sleep
        return bool(stopping) or waited > settings.give_back_after

    return AsyncRetrying(
        retry=retry_if_exception_type(Unavailable),
        wait=wait_random_exponential(multiplier=FIRST_PAUSE, max=settings.backoff_max),
        stop=over,
        after=lambda state: on_unavailable(failure(state)),
        before_sleep=lambda state: on_retry(failure(state)),
        sleep=stopping.pause,
        reraise=True,
    )
