"""A catalogue in every store, kept by the real workers in this process, and damages of each kind planted in the stores.

Only `embed` is not real: its vectors come from the text by a hash, so that nothing waits for a model.
"""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from harness.installation import Installation, Switch, faulty
from harness.live_workers import running
from harness.servers import Servers
from headrace_cli.kafka_topics import apply_topics
from headrace_clients.kafka import producer
from headrace_schemas.changes import CHANGES, ID_FIELDS, Change
from headrace_schemas.digest import digest_of
from headrace_schemas.embedded import EMBEDDED, Embedding
from headrace_schemas.fields import Kind
from headrace_schemas.headers import schema_pair
from headrace_verify.settled_workers import until_settled
from headrace_worker.settings import CommonSettings
from headrace_worker.stage import Applied, Outcome, Output
from headrace_worker.worker import load_worker

DIMENSION = 8
WORKERS = ("embed", "pgvector", "qdrant", "elasticsearch")
LINKING = (*WORKERS, "link")
REJECTED = ("rejected", 2)
"""The id and the version of the product that the worker `elasticsearch` makes a dead letter."""
TEXTS: dict[Kind, str] = {"product": "title", "keyword": "text"}


def vector_of(text: str) -> bytes:
    """(DIMENSION,) float32 little-endian, L2-normalised."""
    seed = np.frombuffer(hashlib.sha256(text.encode()).digest(), dtype=np.uint64)
    values = np.random.default_rng(seed).standard_normal(DIMENSION)
    return (values / np.linalg.norm(values)).astype("<f4").tobytes()


class HashEmbedder:
    """The stage of `embed` with these vectors."""

    def __init__(self, settings: CommonSettings) -> None:
        self._settings = settings

    async def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [Applied(outputs=(self._output(change),)) for change in changes]

    async def check(self) -> None:
        """It is always there."""

    def _output(self, change: Change) -> Output:
        record = embedded(change, self._settings.model)
        topic = self._settings.topics.embedded(change.kind, self._settings.model)
        value = record.model_dump_json(exclude_none=True).encode()
        return Output(topic, change.id.encode(), value, (schema_pair(record),))


def embedded(change: Change, model: str) -> Any:
    """The change as `embed` publishes it."""
    fields: dict[str, Any] = change.model_dump(exclude_none=True) | {"digest": digest_of(change)}
    if not change.deleted:
        text = str(getattr(change, TEXTS[change.kind]))
        content_hash = hashlib.sha256(text.encode()).hexdigest()
        fields["embedding"] = Embedding(model=model, content_hash=content_hash, vector=vector_of(text))
    return EMBEDDED[change.kind].model_validate(fields)


class Catalogue:
    """Everything of one installation with names of its own in every store."""

    def __init__(self, servers: Servers, *workers: str) -> None:
        unique = uuid.uuid4().hex[:8]
        self.installation = Installation(servers, *LINKING)
        self.installation.variables = {
            "NAMESPACE": f"v{unique}", "MODEL": f"m{unique}", "DIMENSION": str(DIMENSION),
            "LINK__K": "3", "LINK__SWEEP_WAIT": "0",
        }  # fmt: skip
        self._servers = servers
        self._names = workers
        self._workers: dict[str, AsyncExitStack] = {}

    @property
    def environment(self) -> dict[str, str]:
        """The HEADRACE_ variables of its workers and commands."""
        own = {f"HEADRACE_{name}": value for name, value in self.installation.variables.items()}
        return {**self._servers.need(), "HEADRACE_TOPIC_PREFIX": self.installation.prefix, **own}

    @property
    def settings(self) -> CommonSettings:
        return self.installation.settings_of(load_worker("elasticsearch"))

    async def open(self) -> None:
        """Makes topics and stores, and starts the workers."""
        await self.installation.open()
        await apply_topics(self.settings, LINKING)
        for name in LINKING:
            worker = load_worker(name)
            if opener := worker.store or worker.links:
                store = opener(self.settings_of(name))
                await store.prepare()
                await store.close()
        for name in self._names:
            await self.start(name)

    async def start(self, name: str) -> None:
        """Starts a worker in this process."""
        worker = load_worker(name)
        if name == "embed":
            worker = replace(worker, stage=_open_embedder)
        if name == "elasticsearch":
            worker = faulty(worker, Switch(lambda change: change.id == REJECTED[0] and change.version == REJECTED[1]))
        self._workers[name] = AsyncExitStack()
        await self._workers[name].enter_async_context(running(worker, self.settings_of(name)))

    async def stop(self, name: str) -> None:
        """Stops the worker that was started last."""
        assert name == next(reversed(self._workers))
        await self._workers.pop(name).aclose()

    async def close(self) -> None:
        for name in reversed(list(self._workers)):
            await self.stop(name)
        await self.installation.close()

    def settings_of(self, name: str) -> Any:
        return self.installation.settings_of(load_worker(name))

    async def publish(self, changes: Sequence[Change]) -> None:
        """Publishes to the source topics; returns when acknowledged."""
        client = producer(self.settings.kafka, linger_ms=1)
        await client.start()
        try:
            sent = []
            for change in changes:
                value = change.model_dump_json(exclude_none=True).encode()
                topic = self.settings.topics.source(change.kind)
                sent.append(await client.send(topic, value, key=change.id.encode()))
            await asyncio.gather(*sent)
        finally:
            await client.stop()

    async def settled(self, within: float = 60.0) -> None:
        """Waits until the workers have read everything."""
        assert await until_settled(self.settings, self._names, within) == []


def upsert(kind: Kind, id: str, version: int, text: str | None = None, **fields: Any) -> Change:
    """A valid upsert."""
    own = {ID_FIELDS[kind]: id, TEXTS[kind]: text or f"{id} at version {version}", "version": version}
    return CHANGES[kind].model_validate({"op": "upsert", "occurred_at": datetime.now(UTC), **own, **fields})


def delete(kind: Kind, id: str, version: int) -> Change:
    own = {ID_FIELDS[kind]: id, "version": version}
    return CHANGES[kind].model_validate({"op": "delete", "occurred_at": datetime.now(UTC), **own})


@asynccontextmanager
async def open_catalogue(servers: Servers, *workers: str) -> AsyncIterator[Catalogue]:
    """A catalogue that these workers keep; its variables are the environment of this process meanwhile."""
    catalogue = Catalogue(servers, *workers)
    try:
        await catalogue.open()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in catalogue.environment.items():
                patch.setenv(name, value)
            yield catalogue
    finally:
        await catalogue.close()


@asynccontextmanager
async def _open_embedder(settings: Any) -> AsyncIterator[HashEmbedder]:
    yield HashEmbedder(settings)
