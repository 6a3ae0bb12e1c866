"""Replays a selection of dead letters and counts the answers.

A letter is published first, and marked after the broker has acknowledged it. If the process is killed in between, the
letter is still waiting although it was sent. Sending it again changes nothing, because every write is fenced.
"""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from headrace_letters.actions import Action
from headrace_letters.index import LetterIndex
from headrace_letters.installed_stores import InstalledStores
from headrace_letters.letter import Letter
from headrace_letters.letter_reader import LetterReader
from headrace_letters.letter_rows import IndexedLetter
from headrace_letters.prediction import refusal
from headrace_letters.replay_answers import ReplayAnswers, open_replay_answers
from headrace_letters.replay_order import CHUNK, ReplayOrder
from headrace_letters.replay_progress import Progress, ReplayOptions, State, summary
from headrace_letters.replay_record import outgoing
from headrace_letters.selection import Selection
from headrace_runtime.publisher import Outgoing, Publisher
from headrace_runtime.sent_spans import SentSpans, open_sent_spans
from headrace_worker.settings import CommonSettings
from headrace_worker.stage import Unavailable

UNANSWERED = 5000
"""Replays without an answer at one time. A worker that fails all of them fails this many before the replay stops."""
MIN_ANSWERS = 20
"""With fewer answers, the share of failures is not compared."""
PARTS_A_SECOND = 4
"""With a rate, letters are sent in this many parts a second."""
POLL_SECONDS = 0.2


async def replay(
    index: LetterIndex,
    reader: LetterReader,
    stores: InstalledStores,
    settings: CommonSettings,
    selection: Selection,
    options: ReplayOptions,
    *,
    actor: str,
    reason: str = "",
) -> AsyncGenerator[Progress, None]:
    """Yields the same Progress object again after each change. The replay has ended when its state is `done` or
    `stopped`.

    It takes waiting letters, and parked ones if the selection names that status. Closing the generator stops the
    replay: published letters stay published, the others still wait. Raises Unavailable, KafkaError, UnknownTopic.
    """
    # A slow replay reads one second ahead, because somebody may discard letters that it has not sent yet.
    size = CHUNK if options.rate is None else min(CHUNK, math.ceil(options.rate))
    order = ReplayOrder(index, selection, options.limit, size)
    await order.scan()
    progress = Progress(order.total)
    letters = _Letters(reader, stores, progress)
    yield progress
    if options.dry_run:
        async for chunk in order.chunks():
            progress.published += len(await letters.to_publish(chunk))
            yield progress
        progress.state = "done"
        yield progress
        return
    number = await index.begin(Action(actor, "replay", selection, reason))
    try:
        async with (
            open_replay_answers(settings) as answers,
            _open_publisher(settings) as publisher,
            open_sent_spans("replay", "replay", settings.telemetry) as spans,
        ):
            run = _Run(index, number, letters, publisher, spans, answers, options, progress)
            async for _ in run.through(order):
                yield progress
    except BaseException as error:
        # Also when the generator is closed: the audit records how far the replay was.
        progress.stop(f"ended by {type(error).__name__}")
        with suppress(Unavailable):
            await index.finish(number, progress.published, summary(progress))
        raise
    await index.finish(number, progress.published, summary(progress))
    yield progress


@asynccontextmanager
async def _open_publisher(settings: CommonSettings) -> AsyncIterator[Publisher]:
    publisher = Publisher(settings.kafka)
    try:
        yield publisher
    finally:
        await publisher.close()


class _Letters:
    """Reads the records of letters, and counts the refused ones."""

    def __init__(self, reader: LetterReader, stores: InstalledStores, progress: Progress) -> None:
        self._reader = reader
        self._stores = stores
        self._progress = progress

    async def to_publish(self, found: Sequence[IndexedLetter]) -> list[tuple[Letter, Outgoing]]:
        """The letters that can be replayed, each with the record to publish."""
        now = datetime.now(UTC)
        letters = [one.letter for one in found]
        records = await self._reader.records_of(letters)
        sent = []
        for letter, record in zip(letters, records, strict=True):
            not_replayed = refusal(letter, record, self._stores, now)
            if record is None or not_replayed is not None:
                self._progress.refuse(not_replayed.outcome if not_replayed else "expired")
            else:
                sent.append((letter, outgoing(letter, record, self._stores.target(letter.worker))))
        return sent


class _Run:
    """One running replay."""

    def __init__(
        self,
        index: LetterIndex,
        action: int,
        letters: _Letters,
        publisher: Publisher,
        spans: SentSpans,
        answers: ReplayAnswers,
        options: ReplayOptions,
        progress: Progress,
    ) -> None:
        self._index = index
        self._action = action
        self._letters = letters
        self._publisher = publisher
        self._spans = spans
        self._answers = answers
        self._options = options
        self._progress = progress
        self._began = time.monotonic()
        self._last_answer = self._began
        self._attempts: dict[str, int] = {}
        """By id of the letter: the attempt that has no answer yet."""

    async def through(self, order: ReplayOrder) -> AsyncIterator[None]:
        """Yields after each change of the progress."""
        canary = self._options.canary
        async for chunk in order.chunks():
            while chunk:
                size = self._next_size(canary)
                part, chunk = chunk[:size], chunk[size:]
                await self._publish(part)
                yield
                if canary and self._progress.published >= canary:
                    async for _ in self._await_answers("canary", 0):
                        yield
                    if self._progress.failed:
                        self._progress.stop(
                            f"{self._progress.failed} of the first {self._progress.published} failed again"
                        )
                    canary = 0
                    self._began = time.monotonic() - self._progress.published / (self._options.rate or 1)
                else:
                    async for _ in self._await_answers("replaying", UNANSWERED):
                        yield
                if self._stopped:
                    return
                await self._keep_pace()
        async for _ in self._await_answers("waiting", 0):
            yield
        if not self._stopped:
            self._progress.state = "done"

    def _next_size(self, canary: int) -> int:
        if canary:
            return canary - self._progress.published
        return CHUNK if self._options.rate is None else max(1, int(self._options.rate / PARTS_A_SECOND))

    async def _publish(self, found: Sequence[IndexedLetter]) -> None:
        sent = await self._letters.to_publish(found)
        self._attempts |= {letter.id: letter.attempts for letter, _ in sent}
        traced = [self._spans.continued(record, record.headers) for _, record in sent]
        await self._publisher.publish([record for record, _ in traced])
        for _, span in traced:
            self._spans.end(span)
        await self._index.mark_replaying(self._action, [letter for letter, _ in sent])
        await self._spans.export_now()
        self._progress.published += len(sent)

    async def _await_answers(self, state: State, leave: int) -> AsyncIterator[None]:
        """Reads answers until at most `leave` replays have none, or the replay stops."""
        self._progress.state = state
        self._last_answer = time.monotonic()
        await self._read_answers(0)
        while self._progress.unanswered > leave and not self._stopped:
            yield
            await self._read_answers(POLL_SECONDS)
            if time.monotonic() - self._last_answer > self._options.answer_within:
                why = f"{self._progress.unanswered} replays have no answer; check that the worker runs and is ready"
                self._progress.stop(why)

    async def _read_answers(self, wait: float) -> None:
        for answer in await self._answers.new(wait):
            if self._attempts.get(answer.dead_id) != answer.attempt:
                continue
            del self._attempts[answer.dead_id]
            self._last_answer = time.monotonic()
            match answer.outcome:
                case "dead":
                    self._progress.failed += 1
                case "superseded" | "conflict":
                    self._progress.superseded += 1
                case _:
                    self._progress.resolved += 1
        answered, failed = self._progress.answered, self._progress.failed
        if answered >= MIN_ANSWERS and failed > self._options.stop_share * answered:
            self._progress.stop(f"{failed} of {answered} failed again")

    async def _keep_pace(self) -> None:
        if self._options.rate is not None:
            ahead = self._began + self._progress.published / self._options.rate - time.monotonic()
            await asyncio.sleep(max(0.0, ahead))

    @property
    def _stopped(self) -> bool:
        return self._progress.state == "stopped"
