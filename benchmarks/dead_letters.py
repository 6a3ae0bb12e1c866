"""Compares the dead_letters worker on full topics with a raw COPY of the same rows into an equal table."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import asyncpg
from aiokafka.structs import ConsumerRecord

from benchmarks.measurement import WITHIN, Comparison, compared, rate
from benchmarks.topics import changes, fill_letters, fresh_topics
from headrace_clients.settings import PostgresSettings
from headrace_dead_letters.app import topic_pattern, worker
from headrace_dead_letters.settings import DeadLettersSettings
from headrace_dead_letters.stage import LetterStage
from headrace_letters.index import LetterIndex
from headrace_letters.letter import Letter, read_letter
from headrace_letters.letter_rows import letter_row
from headrace_letters.merge_statements import INCOMING_COLUMNS
from headrace_runtime.app import build
from headrace_runtime.dead_letters import dead_letter
from headrace_runtime.publisher import Outgoing
from headrace_worker.stage import Rejected
from headrace_worker.worker import RawInput

WORKER = "qdrant"
CAUSES = [Rejected("refused_by_store", f"cause {cause}: " + "said at length " * 8, (str(cause),)) for cause in range(5)]
AT_ONCE = 4000
COLUMNS = (*INCOMING_COLUMNS, "status_attempt")
RAW_TABLES = {
    "raw COPY, same indexes": "CREATE TABLE raw (LIKE headrace.dead_letters INCLUDING ALL)",
    "raw COPY, no index": "CREATE TABLE raw (LIKE headrace.dead_letters INCLUDING DEFAULTS INCLUDING IDENTITY)",
}


class _Timed(LetterIndex):
    """An index that records when its first letters came and when the last of `expected` were committed."""

    def __init__(self, settings: PostgresSettings, expected: int) -> None:
        super().__init__(settings)
        self._left = expected
        self.began: float | None = None
        self.done = asyncio.Event()

    async def put_letters(self, letters: Sequence[Letter]) -> None:
        self.began = self.began or time.perf_counter()
        await super().put_letters(letters)
        self._left -= len(letters)
        if self._left <= 0:
            self.done.set()


@asynccontextmanager
async def _stage(index: LetterIndex, settings: DeadLettersSettings) -> AsyncIterator[LetterStage]:
    yield LetterStage(settings.topics, index)
    await index.close()


async def run(settings: DeadLettersSettings, records: int) -> list[Comparison]:
    """Compares the way from Kafka to a commit in PostgreSQL with a COPY of prepared rows."""
    index = LetterIndex(settings.postgres, settings.names.schema)
    await index.prepare()
    await index.close()
    connection = await asyncpg.connect(settings.postgres.dsn.get_secret_value())

    async def ours(_: int) -> float:
        await connection.execute("TRUNCATE headrace.dead_letters")
        fresh = await fresh_topics(settings, WORKER)
        await fill_letters(fresh, _letters(fresh, records))
        timed = _Timed(settings.postgres, records)
        application = build(replace(worker, raw=RawInput(topic_pattern, partial(_stage, timed))), fresh)
        async with asyncio.timeout(WITHIN), application.start_lifespan_context():
            await timed.done.wait()
            ended = time.perf_counter()
        assert timed.began is not None
        return records / (ended - timed.began)

    def theirs(create: str) -> Any:
        async def copied(_: int) -> float:
            await connection.execute(f"DROP TABLE IF EXISTS raw; {create}")
            rows = _rows(settings, _letters(settings, records))
            return await rate(records, _copy(connection, rows))

        return copied

    try:
        return [
            await compared("dead_letters, indexing", against, 0.3, ours, theirs(create))
            for against, create in RAW_TABLES.items()
        ]
    finally:
        await connection.execute("DROP TABLE IF EXISTS raw")
        await connection.close()


def _letters(settings: DeadLettersSettings, count: int) -> list[Outgoing]:
    """Makes dead letters of different products and five causes, as a worker publishes them."""
    now, topic = datetime.now(UTC), settings.topics.source("product")
    made = []
    for number, change in enumerate(changes(count, 1, uuid.uuid4().hex[:6])):
        key, value = change["product_id"].encode(), json.dumps(change).encode()
        record = ConsumerRecord(topic, number % 6, number, 1_700_000_000_000, 0, key, value, None, 0, 0, ())
        dead = settings.topics.dead(WORKER)
        made.append(dead_letter(WORKER, dead, record, CAUSES[number % 5], now=now, max_bytes=2**20))
    return made


def _rows(settings: DeadLettersSettings, letters: Sequence[Outgoing]) -> list[tuple[Any, ...]]:
    """Returns the rows that the worker would write for them."""
    rows = []
    for offset, sent in enumerate(letters):
        record = ConsumerRecord(
            sent.topic, offset % 6, offset, 1_700_000_000_000, 0, sent.key, sent.value, None, 0, 0, sent.headers
        )
        letter = read_letter(record, settings.topics)
        rows.append((*letter_row(letter), letter.attempts))
    return rows


async def _copy(connection: "asyncpg.Connection[asyncpg.Record]", rows: Sequence[tuple[Any, ...]]) -> None:
    for start in range(0, len(rows), AT_ONCE):
        await connection.copy_records_to_table("raw", records=rows[start : start + AT_ONCE], columns=COLUMNS)
