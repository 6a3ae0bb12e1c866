"""A steady stream of changes of one catalogue, seeded."""

import asyncio
import json
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

from aiokafka import AIOKafkaProducer

from headrace_clients.kafka import client_options, producer
from headrace_demo.catalogue.changes import creations
from headrace_demo.catalogue.events import Change
from headrace_demo.catalogue.malformed_records import DEFECTS, malformed_record
from headrace_schemas.changes import ID_FIELDS
from headrace_schemas.fields import Kind
from headrace_worker.settings import CommonSettings

TICKS = 5
"""A second."""
SENT_WITHIN = 60.0
TRANSACTIONS, ABORTED = 0.08, 0.3
"""The share of the ticks whose records are one transaction, and of those that are aborted."""
SHARES = {"update": 69, "delete": 10, "recreate": 10, "duplicate": 5, "late": 5, "malformed": 1}
USED_DEFECTS = [defect for defect in DEFECTS if defect != "id_too_long"]


@dataclass(slots=True)
class _Entity:
    """`record`: its newest published upsert, without version and time."""

    kind: Kind
    record: dict[str, Any]
    version: int = 0
    live: bool = False
    last: bytes = b""

    @property
    def key(self) -> bytes:
        return str(self.record[ID_FIELDS[self.kind]]).encode()


Sent = tuple[Kind, bytes, bytes | None]


class Stream:
    """Publishes `rate` records a second. `counts`: what was published, by cause; transactions apart."""

    def __init__(self, settings: CommonSettings, seed: int, *, rate: float, products: int, keywords: int) -> None:
        self._settings = settings
        self._random = Random(seed)
        self._rate = rate
        events = [event for event in creations(seed, products=products, keywords=keywords) if isinstance(event, Change)]
        # Without its description a text is short, and its vector is quick to compute.
        dropped = ("op", "version", "occurred_at", "description")
        self._entities = [
            _Entity(event.kind, {name: value for name, value in event.record.items() if name not in dropped})
            for event in events
        ]
        texts: dict[Kind, list[str]] = {"product": [], "keyword": []}
        for entity in self._entities:
            texts[entity.kind].append(entity.record["title" if entity.kind == "product" else "text"])
        self._texts = texts
        self._late: list[tuple[float, Sent]] = []
        self._producer: AIOKafkaProducer | None = None
        self._transactional: AIOKafkaProducer | None = None
        self._transactions = 0
        self.counts: Counter[str] = Counter()

    def creations(self) -> list[Sent]:
        """The first version of every entity."""
        return [self._upsert(entity, "create") for entity in self._entities]

    async def create(self) -> None:
        """Publishes every entity once."""
        await self._send(self.creations())

    async def run(self, stop: asyncio.Event) -> None:
        """Publishes changes until `stop`. Kafka may fail meanwhile: then the stream waits."""
        due, owed = time.monotonic(), 0.0
        while not stop.is_set():
            owed += self._rate / TICKS
            number, owed = int(owed), owed % 1
            records = [record for _ in range(number) for record in self.records()]
            records += [record for at, record in self._late if at <= time.monotonic()]
            self._late = [(at, record) for at, record in self._late if at > time.monotonic()]
            if self._random.random() < TRANSACTIONS:
                await self._transact(records, commit=self._random.random() >= ABORTED)
            else:
                await self._send(records)
            due = max(due + 1 / TICKS, time.monotonic() - 1)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await self._send([record for _, record in self._late])

    async def burst(self, kind: Kind, count: int) -> None:
        """Publishes malformed records, all with the same defect."""
        of_kind = [entity for entity in self._entities if entity.kind == kind]
        records = [self._malformed(self._random.choice(of_kind), "no_op") for _ in range(count)]
        await self._send(records)

    async def leave_open(self, seconds: float) -> None:
        """A producer of its own begins a transaction, is silent, and aborts it in the end."""
        client = self._new_transactional()
        try:
            await client.start()
            await client.begin_transaction()
            for kind, key, value in self.records():
                await client.send(self._settings.topics.source(kind), value, key=key)
            await client.flush()
            await asyncio.sleep(seconds)
            await client.abort_transaction()
            self.counts["transactions left open"] += 1
        finally:
            await _stop(client)

    async def close(self) -> None:
        await self._discard()
        await self._discard(transactional=True)

    def records(self) -> list[Sent]:
        """One change, or more for an order that is wrong."""
        cause = self._random.choices(list(SHARES), list(SHARES.values()))[0]
        entity = self._random.choice(self._entities)
        if cause == "delete" and entity.live:
            return [self._delete(entity)]
        if cause == "recreate":
            deleted = [one for one in self._random.choices(self._entities, k=20) if not one.live]
            return [self._upsert(deleted[0] if deleted else entity, cause)]
        if cause == "duplicate" and entity.last:
            self.counts[cause] += 1
            return [(entity.kind, entity.key, entity.last)]
        if cause == "malformed":
            return [self._malformed(entity, self._random.choice(USED_DEFECTS))]
        older = self._upsert(entity, "update")
        if cause == "late":
            self.counts[cause] += 1
            self._late.append((time.monotonic() + self._random.uniform(0.2, 8), older))
            return [self._upsert(entity, "update")]
        return [older]

    def _upsert(self, entity: _Entity, cause: str) -> Sent:
        self.counts[cause] += 1
        record = entity.record
        if entity.kind == "product":
            record["price"] = round(self._random.uniform(1, 500), 2)
            if self._random.random() < 0.15:
                record["title"] = self._random.choice(self._texts["product"])
        else:
            record["popularity"] = self._random.randint(1, 1000)
            if self._random.random() < 0.2:
                record["text"] = self._random.choice(self._texts["keyword"])
        entity.live = True
        return self._next(entity, {"op": "upsert"} | record)

    def _delete(self, entity: _Entity) -> Sent:
        self.counts["delete"] += 1
        entity.live = False
        return self._next(entity, {"op": "delete", ID_FIELDS[entity.kind]: entity.key.decode()})

    def _next(self, entity: _Entity, record: dict[str, Any]) -> Sent:
        entity.version += 1
        entity.last = _encoded(record | {"version": entity.version, "occurred_at": datetime.now(UTC).isoformat()})
        return entity.kind, entity.key, entity.last

    def _malformed(self, entity: _Entity, defect: str) -> Sent:
        self.counts["malformed"] += 1
        now = datetime.now(UTC).isoformat()
        made = malformed_record(
            entity.kind, defect, {"op": "upsert", **entity.record, "version": entity.version, "occurred_at": now}
        )
        return entity.kind, made.key, made.value

    async def _send(self, records: list[Sent]) -> None:
        if not records:
            return
        try:
            async with asyncio.timeout(SENT_WITHIN):
                client = await self._started()
                await asyncio.gather(
                    *[
                        await client.send(self._settings.topics.source(kind), value, key=key)
                        for kind, key, value in records
                    ]
                )
        except Exception:  # whatever the client raises while brokers are gone, the stream goes on with a new one
            self.counts["sends that failed"] += 1
            await self._discard()

    async def _transact(self, records: list[Sent], *, commit: bool) -> None:
        try:
            async with asyncio.timeout(SENT_WITHIN):
                client = await self._started(transactional=True)
                await client.begin_transaction()
                for kind, key, value in records:
                    await client.send(self._settings.topics.source(kind), value, key=key)
                await client.flush()
                await (client.commit_transaction() if commit else client.abort_transaction())
            self.counts["transactions committed" if commit else "transactions aborted"] += 1
        except Exception:
            self.counts["transactions that failed"] += 1
            await self._discard(transactional=True)

    async def _started(self, *, transactional: bool = False) -> AIOKafkaProducer:
        client = self._transactional if transactional else self._producer
        if client is None:
            if transactional:
                client = self._new_transactional()
                await client.start()
                self._transactional = client
            else:
                client = producer(self._settings.kafka, linger_ms=0)
                await client.start()
                self._producer = client
        return client

    def _new_transactional(self) -> AIOKafkaProducer:
        self._transactions += 1
        return AIOKafkaProducer(
            **client_options(self._settings.kafka),
            transactional_id=f"chaos-{self._transactions}",
            transaction_timeout_ms=20_000,
        )

    async def _discard(self, *, transactional: bool = False) -> None:
        client = self._transactional if transactional else self._producer
        if transactional:
            self._transactional = None
        else:
            self._producer = None
        if client is not None:
            await _stop(client)


async def _stop(client: AIOKafkaProducer) -> None:
    """A client does not stop by itself while its brokers are gone."""
    with suppress(Exception):
        async with asyncio.timeout(5):
            await client.stop()


def _encoded(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
