"""Writes records of dead-letter and receipt topics into the index."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from headrace_letters.index import LetterIndex
from headrace_letters.letter import Letter, letter_id, read_letter, unreadable
from headrace_letters.plain_record import PlainRecord
from headrace_letters.replay_answers import ReplayAnswer, answers_in
from headrace_runtime.decoder import KafkaRecord, position
from headrace_schemas.topics import Topics
from headrace_worker.parts import halves
from headrace_worker.stage import BatchRejected

log = structlog.get_logger(__name__)
T = TypeVar("T")


PART = 1000
"""Records whose letters are written in one transaction."""
RECORDS_BETWEEN_YIELDS = 50
"""Other tasks of the event loop run after this many records."""


class IndexBatch:
    """The letters and answers of some records, without payloads. `receipts`: the number of records with receipts."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self.letters: list[Letter] = []
        self.answers: list[ReplayAnswer] = []
        self.receipts = 0

    def add(self, record: KafkaRecord) -> None:
        """Adds one record. Never raises."""
        if record.topic == self._topics.receipts:
            self.receipts += 1
            self.answers += answers_in(record.value)
        else:
            self.letters.append(_letter(record, self._topics))

    async def write(self, index: LetterIndex) -> None:
        """Merges everything into the index; repeating it changes nothing. Raises Unavailable."""
        for letter in await _refused(index.put_letters, self.letters):
            log.warning("letter_unreadable", place="-".join(map(str, letter.at)))
            await index.put_letters([unreadable(letter)])
        for answer in await _refused(index.put_answers, self.answers):
            log.warning("receipt_unreadable", dead_id=letter_id(answer.dead_id.encode(errors="replace")))


async def index_records(
    index: LetterIndex,
    topics: Topics,
    records: Sequence[KafkaRecord],
    on_answers: Callable[[Sequence[ReplayAnswer]], None] = lambda answers: None,
) -> int:
    """Merges records into the index; returns the number of letters. It reads a part while the database writes the
    previous one. Raises Unavailable; some parts may be written then, and repeating it changes nothing.

    `on_answers` gets the answers of replays when all of them are written.
    """
    answers: list[ReplayAnswer] = []
    letters, writing = 0, asyncio.create_task(IndexBatch(topics).write(index))
    try:
        for start in range(0, len(records), PART):
            part = IndexBatch(topics)
            for place, record in enumerate(records[start : start + PART]):
                part.add(record)
                if place % RECORDS_BETWEEN_YIELDS == 0:
                    await asyncio.sleep(0)
            await writing
            letters += len(part.letters)
            answers += part.answers
            writing = asyncio.create_task(part.write(index))
        await writing
        on_answers(answers)
        return letters
    finally:
        writing.cancel()


def _letter(record: KafkaRecord, topics: Topics) -> Letter:
    try:
        return read_letter(record, topics)
    except Exception as error:
        # A bug, or a payload that exhausts the parser, must not stop the letters behind it.
        log.error("letter_unreadable", place="-".join(map(str, position(record))), error=type(error).__name__)
        return unreadable(read_letter(PlainRecord(*position(record), record.timestamp), topics))


async def _refused(write: Callable[[Sequence[T]], Awaitable[None]], things: Sequence[T]) -> list[T]:
    """Writes what can be written; returns what PostgreSQL refuses for its data or asyncpg cannot send."""
    if not things:
        return []
    try:
        await write(things)
    except (BatchRejected, ValueError, OverflowError):
        if len(things) == 1:
            return list(things)
        return [refused for half in halves(things) for refused in await _refused(write, half)]
    return []
