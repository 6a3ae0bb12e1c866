"""Dead letters with and without a broker, and an empty database for their index."""

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg

from harness.servers import Servers
from headrace_clients.kafka import producer
from headrace_letters.actions import Action
from headrace_letters.index import LetterIndex
from headrace_letters.letter import Letter
from headrace_runtime.dead_letters import dead_letter
from headrace_runtime.decoder import KafkaRecord, Position
from headrace_runtime.publisher import Outgoing
from headrace_worker.settings import CommonSettings
from headrace_worker.stage import Rejected

INVALID = Rejected("invalid", "title: Field required", ("missing", "title"))


def letter(id: str, **given: Any) -> Letter:
    """Makes a letter of the worker qdrant with these attributes; the others have usual values."""
    attempts = given.get("attempts", 1)
    failed_at = given.get("failed_at", datetime(2026, 3, 1, 3, attempts, tzinfo=UTC))
    reason = given.get("reason", "invalid")
    usual: dict[str, Any] = {
        "origin": "headrace",
        "worker": "qdrant",
        "reason": reason,
        "fingerprint": f"cause of {reason}",
        "error": f"{id} failed the {attempts}. time: {reason}",
        "attempts": attempts,
        "first_failed_at": failed_at,
        "failed_at": failed_at,
        "key": id.encode(),
        "at": Position("dead.qdrant", 0, attempts),
        "failed": Position("products", 0, 7),
        "kind": "product",
        "entity_id": id,
        "version": 1,
        "size": 120,
    }
    return Letter(id, **usual | given)


async def set_aside(index: LetterIndex, action: Action) -> int:
    """Parks or discards a selection and returns how many letters changed."""
    async for touched in index.touched(action.name, action.selection):
        counted = touched
    return max([done async for done in index.set_aside(action, counted)], default=0)


def letter_of(
    settings: CommonSettings,
    worker: str,
    record: KafkaRecord,
    rejection: Rejected = INVALID,
    now: datetime | None = None,
) -> Outgoing:
    """Makes the record that the worker publishes when it rejects this one."""
    topic = settings.topics.dead(worker)
    again = record.topic == settings.topics.replay(worker)
    return dead_letter(worker, topic, record, rejection, now=now or datetime.now(UTC), max_bytes=2**26, replayed=again)


async def send(settings: CommonSettings, records: Sequence[Outgoing], partition: int | None = None) -> list[Position]:
    """Publishes records as they are and returns their positions in order."""
    client = producer(settings.kafka, max_request_size=2**26, linger_ms=5)
    await client.start()
    try:
        sent = [
            await client.send(
                record.topic, record.value, key=record.key, headers=list(record.headers), partition=partition
            )
            for record in records
        ]
        return [Position(*(await one)[:2], (await one).offset) for one in sent]
    finally:
        await client.stop()


@asynccontextmanager
async def empty_database(servers: Servers) -> AsyncIterator[str]:
    """Yields the DSN of a new database and drops it at the end, even if the test has paused PostgreSQL."""
    dsn = servers.need("postgres")["HEADRACE_POSTGRES__DSN"]
    name = f"test_{uuid.uuid4().hex}"
    await _execute(dsn, f"CREATE DATABASE {name}")
    try:
        yield dsn.rsplit("/", 1)[0] + f"/{name}"
    finally:
        servers.heal()
        await _execute(dsn, f"DROP DATABASE {name} WITH (FORCE)")


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(statement)
    await connection.close()
