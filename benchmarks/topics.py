"""Fills topics for measurements."""

import asyncio
import base64
import hashlib
import json
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from headrace_cli.kafka_topics import apply_topics
from headrace_clients.kafka import producer
from headrace_demo.catalogue.products import products
from headrace_runtime.publisher import Outgoing, Publisher
from headrace_schemas.fields import Kind
from headrace_worker.settings import WorkerSettings

SEED = 7
DIMENSION = 384
LETTERS_AT_ONCE = 4000


async def fresh_topics(settings: WorkerSettings, worker: str) -> WorkerSettings:
    """Returns the settings with a new topic prefix, and makes the topics."""
    made = settings.model_copy(update={"topic_prefix": f"bench-{uuid.uuid4().hex[:8]}."})
    await apply_topics(made, [worker])
    # A broker refuses records until it leads their partition; then the client waits and tries again.
    await asyncio.sleep(1)
    return made


def changes(count: int, version: int, run: str, kind: Kind = "product") -> list[dict[str, Any]]:
    """Returns product changes of the generated catalogue, each with its own id."""
    now = datetime.now(UTC).isoformat()
    return [
        row | {"op": "upsert", "product_id": f"{run}-{number}", "version": version, "occurred_at": now}
        for number, row in enumerate(products(SEED, count))
    ]


def embedded(rows: Iterable[dict[str, Any]], model: str, version: int) -> list[dict[str, Any]]:
    """Returns the same changes with random vectors of unit length, different for each version."""
    random = np.random.default_rng(version)
    made = []
    for row in rows:
        vector = random.standard_normal(DIMENSION).astype("<f4")
        vector /= np.linalg.norm(vector)
        content_hash = hashlib.sha256(f"{row['product_id']} {version}".encode()).hexdigest()
        embedding = {
            "model": model,
            "content_hash": content_hash,
            "vector": base64.b64encode(vector.tobytes()).decode(),
        }
        made.append(row | {"version": version, "embedding": embedding})
    return made


async def fill(
    settings: WorkerSettings, topic: str, rows: Iterable[dict[str, Any]], id_field: str = "product_id"
) -> None:
    """Publishes the rows under their ids and waits for all acknowledgements."""
    client = producer(settings.kafka)
    await client.start()
    try:
        sent = [await client.send(topic, json.dumps(row).encode(), key=row[id_field].encode()) for row in rows]
        await asyncio.gather(*sent)
    finally:
        await client.stop()


async def fill_letters(settings: WorkerSettings, letters: Sequence[Outgoing]) -> None:
    """Publishes dead letters as a worker does, and waits for all acknowledgements."""
    publisher = Publisher(settings.kafka)
    for start in range(0, len(letters), LETTERS_AT_ONCE):
        await publisher.publish(letters[start : start + LETTERS_AT_ONCE])
    await publisher.close()
