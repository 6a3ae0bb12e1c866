"""Puts `data/` into empty servers, as `make_data.py` found it."""

import base64
import json
import re
import time
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import OffsetAndMetadata
from elasticsearch import AsyncElasticsearch
from qdrant_client import AsyncQdrantClient, models

DATA = Path(__file__).parent / "data"
PARTITIONS = 6
DAY = 86_400_000
TIME = re.compile(r"(?<![\d.])\d{13}(?!\d)|\b\d{4}-\d\d-\d\d(?=[T ]\d\d:)")
"""Milliseconds since 1970, also in the ids of letters, and days with a time."""


class Moved:
    """Reads `data/` with its times moved by whole days, so that the newest record is of the 24 hours before `now`.

    A letter can be replayed for 14 days. `now`: milliseconds since 1970. The times before the data was made, which are
    those of the catalogue, stay.
    """

    def __init__(self, now: int) -> None:
        self.records = [json.loads(line) for line in (DATA / "records.jsonl").read_text().splitlines()]
        times = [record[2] for record in self.records]
        self._first, self._days = min(times), (now - max(times)) // DAY
        self._first_day = datetime.fromtimestamp(self._first / 1000, UTC).date()
        self.records = [
            [topic, partition, self._moved(at), self._bytes(key), self._bytes(value), self._headers(headers)]
            for topic, partition, at, key, value, headers in self.records
        ]

    def read(self, name: str) -> str:
        """One file of `data/`."""
        return self._text((DATA / name).read_text())

    def _headers(self, headers: list[list[str]]) -> list[tuple[str, bytes | None]]:
        return [(name, self._bytes(value)) for name, value in headers]

    def _bytes(self, value: str | None) -> bytes | None:
        return None if value is None else self._text(base64.b64decode(value).decode()).encode()

    def _text(self, text: str) -> str:
        return TIME.sub(self._time, text)

    def _time(self, found: re.Match[str]) -> str:
        time = found.group()
        if time.isdigit():
            return str(self._moved(int(time)))
        day = date.fromisoformat(time)
        return str(day + timedelta(self._days)) if day >= self._first_day else time

    def _moved(self, at: int) -> int:
        return at + self._days * DAY if at >= self._first else at


async def load(environment: dict[str, str]) -> None:
    data = Moved(time.time_ns() // 1_000_000)
    await load_kafka(environment["HEADRACE_KAFKA__BOOTSTRAP_SERVERS"], data)
    await load_postgres(environment["HEADRACE_POSTGRES__DSN"], data)
    await load_elasticsearch(environment["HEADRACE_ELASTICSEARCH__URL"], data)
    await load_qdrant(environment["HEADRACE_QDRANT__URL"], data)


async def load_kafka(servers: str, data: Moved) -> None:
    """Each record at its own offset, with its own time; then the committed offsets."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    configs = json.loads(data.read("topics.json"))
    await admin.create_topics([NewTopic(name, PARTITIONS, 1, topic_configs=config) for name, config in configs.items()])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=servers, enable_idempotence=True, max_request_size=2**22) as producer:
        for topic, partition, timestamp, key, value, headers in data.records:
            await producer.send(topic, value, key, partition=partition, timestamp_ms=timestamp, headers=headers)
        await producer.flush()
    for group, offsets in json.loads(data.read("offsets.json")).items():
        consumer = AIOKafkaConsumer(bootstrap_servers=servers, group_id=f"headrace.{group}", enable_auto_commit=False)
        committed = {TopicPartition(topic, number): OffsetAndMetadata(at, "") for topic, number, at in offsets}
        consumer.assign(list(committed))
        await consumer.start()
        await consumer.commit(committed)
        await consumer.stop()


async def load_postgres(dsn: str, data: Moved) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE EXTENSION vector WITH SCHEMA public")
    await connection.execute(data.read("postgres.sql"))
    await connection.close()


async def load_elasticsearch(url: str, data: Moved) -> None:
    async with AsyncElasticsearch(url) as client:
        for name, index in json.loads(data.read("elasticsearch.json")).items():
            created = {part: index[part] for part in ("aliases", "mappings", "settings")}
            await client.indices.create(index=name, **created)
            operations: list[Any] = []
            for id, version, source in index["documents"]:
                operations += [{"index": {"_id": id, "version": version, "version_type": "external"}}, source]
            answer = await client.bulk(index=name, operations=operations)
            assert not answer["errors"]


async def load_qdrant(url: str, data: Moved) -> None:
    client = AsyncQdrantClient(url=url, check_compatibility=False)
    stored = json.loads(data.read("qdrant.json"))
    for name, collection in stored["collections"].items():
        vectors = {key: models.VectorParams(**params) for key, params in collection["vectors"].items()}
        await client.create_collection(name, vectors_config=vectors)
        for field, schema in collection["indexes"].items():
            await client.create_payload_index(name, field, schema, wait=True)
        points = [
            models.PointStruct(id=point["id"], payload=point["payload"], vector=point.get("vector") or {})
            for point in collection["points"]
        ]
        await client.upsert(name, points, wait=True)
    for alias in stored["aliases"]:
        create = models.CreateAlias(**alias)
        await client.update_collection_aliases([models.CreateAliasOperation(create_alias=create)])
    await client.close()


def newest(*published: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, dict[str, Any]]]:
    """By topic and id, the change with the highest version of those that were published one after the other."""
    found: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for changes in published:
        for topic, records in changes.items():
            for record in records:
                id = record[f"{topic[:-1]}_id"]
                if record["version"] > found[topic].get(id, {"version": 0})["version"]:
                    found[topic][id] = record
    return found
