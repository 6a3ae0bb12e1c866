"""Replays a selection of dead letters, and follows what becomes of them.

A letter is published first and marked after the broker has acknowledged it. A process that is killed between the two
leaves a letter that waits although it was sent: sending it again changes nothing, because every write is fenced.
"""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from headrace_letters.actions import Action
from headrace_letters.index import LetterIndex
from headrace_letters.installed_stores import InstalledStores
from headrace_letters.letter import Letter
from headrace_letters.letter_reader import LetterReader
from headrace_letters.letter_rows import IndexedLetter
from headrace_letters.prediction import Outcome, refused
from headrace_letters.replay_answers import ReplayAnswers, open_replay_answers
from headrace_letters.replay_order import CHUNK, ReplayOrder
from headrace_letters.replay_record import outgoing
from headrace_letters.selection import Selection
from headrace_runtime.publisher import Outgoing, Publisher
from headrace_worker.settings import CommonSettings
from headrace_worker.stage import Unavailable

UNANSWERED = 5000
"""Replays on their way at once. A worker that fails them all has failed so many before the replay stops."""
FEWEST_ANSWERS = 20
"""Before a share of failures says anything."""
PARTS_A_SECOND = 4
"""With a rate: how evenly it is kept."""
HEAR_SECONDS = 0.2

State = Literal["replaying", "canary", "waiting", "done", "stopped"]


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """`limit`: letters at most. `rate`: letters a second at most. `canary`: so many first; the others follow only if
    none of them fails. `stop_share`: it stops when more than this share of the answers are failures; 1: never.
    `answer_within`: seconds without an answer after which no more is waited for. `dry_run`: nothing is published.
    """

    limit: int | None = None
    rate: float | None = None
    canary: int = 0
    stop_share: float = 0.5
    answer_within: float = 60.0
    dry_run: bool = False


@dataclass(slots=True)
class Progress:
    """How far a replay is. `resolved`, `superseded` and `failed` are answers to what was `published`; `refused` letters
    are not published: too old, gone, or no worker's of this installation. `why`: what stopped it, and why letters were
    refused.
    """

    total: int = 0
    published: int = 0
    resolved: int = 0
    superseded: int = 0
    failed: int = 0
    refused: int = 0
    state: State = "replaying"
    why: str = ""
    refusals: dict[Outcome, int] = field(default_factory=dict)

    @property
    def answered(self) -> int:
        return self.resolved + self.superseded + self.failed

    @property
    def unanswered(self) -> int:
        return self.published - self.answered


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
    """The same progress again and again, further along. It is over when its state is `done` or `stopped`.

    Takes what waits, and what is parked if the selection names that status. Closing the generator stops the replay:
    what is published stays published, and the rest waits. Raises Unavailable, KafkaError, UnknownTopic.
    """
    # A slow replay looks a second ahead, and not further: somebody may discard meanwhile what it has not sent yet.
    size = CHUNK if options.rate is None else min(CHUNK, math.ceil(options.rate))
    order = ReplayOrder(index, selection, options.limit, size)
    await order.look()
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
        async with open_replay_answers(settings) as answers, _open_publisher(settings) as publisher:
            run = _Run(index, number, letters, publisher, answers, options, progress)
            async for _ in run.through(order):
                yield progress
    except BaseException as error:
        # Also when the generator is closed: the record of the action says how far it came.
        progress.state, progress.why = "stopped", f"ended by {type(error).__name__}"
        with suppress(Unavailable):
            await index.finish(number, progress.published, told(progress))
        raise
    await index.finish(number, progress.published, told(progress))
    yield progress


def told(progress: Progress) -> str:
    """How a replay ended, in a line."""
    counts = f"{progress.published} published: {progress.resolved} resolved, {progress.superseded} superseded, "
    counts += f"{progress.failed} failed, {progress.unanswered} not answered; {progress.refused} refused"
    return f"{progress.state}: {counts}" + (f"; {progress.why}" if progress.why else "")


@asynccontextmanager
async def _open_publisher(settings: CommonSettings) -> AsyncIterator[Publisher]:
    publisher = Publisher(settings.kafka)
    try:
        yield publisher
    finally:
        await publisher.close()


class _Letters:
    """Turns letters into what is published for them, and counts those that are refused."""

    def __init__(self, reader: LetterReader, stores: InstalledStores, progress: Progress) -> None:
        self._reader = reader
        self._stores = stores
        self._progress = progress

    async def to_publish(self, found: Sequence[IndexedLetter]) -> list[tuple[Letter, Outgoing]]:
        """The letters that are replayed, each with its record."""
        now = datetime.now(UTC)
        letters = [one.letter for one in found]
        records = [record async for _, record in self._reader.read([letter.at for letter in letters])]
        sent = []
        for letter, record in zip(letters, records, strict=True):
            not_replayed = refused(letter, record, self._stores, now)
            if record is None or not_replayed is not None:
                self._refuse(not_replayed.outcome if not_replayed else "expired")
            else:
                sent.append((letter, outgoing(letter, record, self._stores.target(letter.worker))))
        return sent

    def _refuse(self, why: Outcome) -> None:
        self._progress.refused += 1
        self._progress.refusals[why] = self._progress.refusals.get(why, 0) + 1


class _Run:
    """One replay on its way."""

    def __init__(
        self,
        index: LetterIndex,
        action: int,
        letters: _Letters,
        publisher: Publisher,
        answers: ReplayAnswers,
        options: ReplayOptions,
        progress: Progress,
    ) -> None:
        self._index = index
        self._action = action
        self._letters = letters
        self._publisher = publisher
        self._answers = answers
        self._options = options
        self._progress = progress
        self._began = time.monotonic()
        self._heard = self._began
        self._attempts: dict[str, int] = {}
        """Of each letter on its way, by its id."""

    async def through(self, order: ReplayOrder) -> AsyncIterator[None]:
        """Yields whenever there is something to see."""
        canary = self._options.canary
        async for chunk in order.chunks():
            while chunk:
                size = self._next_size(canary)
                part, chunk = chunk[:size], chunk[size:]
                await self._publish(part)
                yield
                if canary and self._progress.published >= canary:
                    async for _ in self._follow("canary", 0):
                        yield
                    if self._progress.failed:
                        self._stop(f"{self._progress.failed} of the first {self._progress.published} failed again")
                    canary = 0
                    self._began = time.monotonic() - self._progress.published / (self._options.rate or 1)
                else:
                    async for _ in self._follow("replaying", UNANSWERED):
                        yield
                if self._stopped:
                    return
                await self._keep_pace()
        async for _ in self._follow("waiting", 0):
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
        await self._publisher.publish([record for _, record in sent])
        await self._index.mark_replaying(self._action, [letter for letter, _ in sent])
        self._progress.published += len(sent)

    async def _follow(self, state: State, leave: int) -> AsyncIterator[None]:
        """Hears answers until at most `leave` replays have none, or nothing more is to be expected."""
        self._progress.state = state
        self._heard = time.monotonic()
        await self._hear(0)
        while self._progress.unanswered > leave and not self._stopped:
            yield
            await self._hear(HEAR_SECONDS)
            if time.monotonic() - self._heard > self._options.answer_within:
                why = f"{self._progress.unanswered} replays have no answer; see that the worker runs and is not held"
                self._stop(why)

    async def _hear(self, wait: float) -> None:
        for answer in await self._answers.new(wait):
            if self._attempts.get(answer.dead_id) != answer.attempt:
                continue
            del self._attempts[answer.dead_id]
            self._heard = time.monotonic()
            match answer.outcome:
                case "dead":
                    self._progress.failed += 1
                case "superseded":
                    self._progress.superseded += 1
                case _:
                    self._progress.resolved += 1
        answered, failed = self._progress.answered, self._progress.failed
        if answered >= FEWEST_ANSWERS and failed > self._options.stop_share * answered:
            self._stop(f"{failed} of {answered} failed again")

    async def _keep_pace(self) -> None:
        if self._options.rate is not None:
            ahead = self._began + self._progress.published / self._options.rate - time.monotonic()
            await asyncio.sleep(max(0.0, ahead))

    def _stop(self, why: str) -> None:
        self._progress.state, self._progress.why = "stopped", why

    @property
    def _stopped(self) -> bool:
        return self._progress.state == "stopped"
