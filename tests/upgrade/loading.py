"""Puts `data/` into empty servers, as `make_data.py` found it."""

import base64
import json
from collections import defaultdict
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


async def load(environment: dict[str, str]) -> None:
    await load_kafka(environment["HEADRACE_KAFKA__BOOTSTRAP_SERVERS"])
    await load_postgres(environment["HEADRACE_POSTGRES__DSN"])
    await load_elasticsearch(environment["HEADRACE_ELASTICSEARCH__URL"])
    await load_qdrant(environment["HEADRACE_QDRANT__URL"])


async def load_kafka(servers: str) -> None:
    """Each record at its own offset, with its own time; then the committed offsets."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    configs = json.loads((DATA / "topics.json").read_text())
    await admin.create_topics([NewTopic(name, PARTITIONS, 1, topic_configs=config) for name, config in configs.items()])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=servers, enable_idempotence=True, max_request_size=2**22) as producer:
        for line in (DATA / "records.jsonl").read_text().splitlines():
            topic, partition, timestamp, key, value, headers = json.loads(line)
            await producer.send(
                topic,
                decoded(value),
                decoded(key),
                partition=partition,
                timestamp_ms=timestamp,
                headers=[(name, decoded(content)) for name, content in headers],
            )
        await producer.flush()
    for group, offsets in json.loads((DATA / "offsets.json").read_text()).items():
        consumer = AIOKafkaConsumer(bootstrap_servers=servers, group_id=f"headrace.{group}", enable_auto_commit=False)
        committed = {TopicPartition(topic, number): OffsetAndMetadata(at, "") for topic, number, at in offsets}
        consumer.assign(list(committed))
        await consumer.start()
        await consumer.commit(committed)
        await consumer.stop()


async def load_postgres(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE EXTENSION vector WITH SCHEMA public")
    await connection.execute((DATA / "postgres.sql").read_text())
    await connection.close()


async def load_elasticsearch(url: str) -> None:
    async with AsyncElasticsearch(url) as client:
        for name, index in json.loads((DATA / "elasticsearch.json").read_text()).items():
            created = {part: index[part] for part in ("aliases", "mappings", "settings")}
            await client.indices.create(index=name, **created)
            operations: list[Any] = []
            for id, version, source in index["documents"]:
                operations += [{"index": {"_id": id, "version": version, "version_type": "external"}}, source]
            answer = await client.bulk(index=name, operations=operations)
            assert not answer["errors"]


async def load_qdrant(url: str) -> None:
    client = AsyncQdrantClient(url=url, check_compatibility=False)
    stored = json.loads((DATA / "qdrant.json").read_text())
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


def decoded(value: str | None) -> bytes | None:
    return None if value is None else base64.b64decode(value)


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
