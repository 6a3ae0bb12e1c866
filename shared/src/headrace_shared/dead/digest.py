"""What records of dead-letter and receipt topics say, on its way into the index."""

import asyncio
from collections.abc import Sequence

import structlog

from headrace_schemas.topics import Topics
from headrace_shared.dead.answers import ReplayAnswer, replay_answers
from headrace_shared.dead.index import LetterIndex
from headrace_shared.dead.letter import Letter, read_letter, unreadable
from headrace_shared.runtime.items import KafkaRecord
from headrace_shared.stage import BatchRejected

log = structlog.get_logger(__name__)


PART = 1000
"""Records whose letters are written in one transaction."""
TURN = 50
"""Records read before the event loop has its turn."""


class Digest:
    """The letters and answers in some records, without their payloads. `receipts`: how many records were receipts."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self.letters: list[Letter] = []
        self.answers: list[ReplayAnswer] = []
        self.receipts = 0

    def add(self, record: KafkaRecord) -> None:
        """Reads one record. Never raises."""
        if record.topic == self._topics.receipts:
            self.receipts += 1
            self.answers += replay_answers(record.value)
        else:
            self.letters.append(read_letter(record, self._topics))

    async def write(self, index: LetterIndex) -> None:
        """Folds it all into the index; to repeat it changes nothing. Raises Unavailable."""
        await _put(index, self.letters)
        await index.settle(self.answers)


async def index_records(index: LetterIndex, topics: Topics, records: Sequence[KafkaRecord]) -> int:
    """Folds records into the index, one part being read while the database writes the one before; how many letters
    there were. Raises Unavailable; some parts may be written then, and to repeat it changes nothing.
    """
    letters, writing = 0, asyncio.create_task(Digest(topics).write(index))
    try:
        for start in range(0, len(records), PART):
            digest = Digest(topics)
            for place, record in enumerate(records[start : start + PART]):
                digest.add(record)
                if place % TURN == 0:
                    await asyncio.sleep(0)
            await writing
            letters += len(digest.letters)
            writing = asyncio.create_task(digest.write(index))
        await writing
        return letters
    finally:
        writing.cancel()


async def _put(index: LetterIndex, letters: Sequence[Letter]) -> None:
    if not letters:
        return
    try:
        await index.put_letters(letters)
    except BatchRejected as error:
        if len(letters) > 1:
            middle = len(letters) // 2
            await _put(index, letters[:middle])
            await _put(index, letters[middle:])
            return
        (letter,) = letters
        log.warning("letter_unreadable", place="-".join(map(str, letter.at)), cause=error.rejection.cause)
        await index.put_letters([unreadable(letter)])
