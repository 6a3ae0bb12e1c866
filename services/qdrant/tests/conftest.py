"""One Qdrant for the session, and collections of its own for each test."""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient

from headrace_clients.qdrant import collection_of, connect
from headrace_clients.settings import QdrantSettings
from headrace_local.stack import Stack
from headrace_qdrant.settings import QdrantWorkerSettings
from headrace_qdrant.stage import QdrantStage
from headrace_qdrant.store import QdrantStore
from headrace_schemas.changes import ID_FIELDS
from headrace_schemas.embedded import EMBEDDED, EmbeddedChange, Embedding
from headrace_schemas.fields import Kind
from headrace_schemas.topics import SOURCE_NAMES

DIMENSION = 8
TEXT_FIELDS: dict[Kind, str] = {"product": "title", "keyword": "text"}
MakeChange = Callable[..., Any]


@pytest.fixture(scope="session")
def qdrant_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("qdrant") / "stack", services={"qdrant"})
    try:
        stack.up()
        yield stack
    finally:
        stack.destroy()


@pytest.fixture
def settings(qdrant_stack: Stack) -> QdrantWorkerSettings:
    """Settings with a model that no other test uses, and small vectors."""
    url = qdrant_stack.up()["HEADRACE_QDRANT__URL"]
    qdrant = QdrantSettings(url=url, prefer_grpc=False, timeout=10)
    return QdrantWorkerSettings(model=f"m{uuid4().hex[:10]}", dimension=DIMENSION, qdrant=qdrant)


@pytest.fixture
async def client(settings: QdrantWorkerSettings) -> AsyncIterator[AsyncQdrantClient]:
    client = connect(settings.qdrant)
    yield client
    for kind in SOURCE_NAMES:
        await client.delete_collection(collection_of(kind, settings.names))
    await client.close()


@pytest.fixture
async def store(client: AsyncQdrantClient, settings: QdrantWorkerSettings) -> QdrantStore:
    """The read side, with its collections created."""
    store = QdrantStore(client, settings)
    await store.prepare()
    return store


@pytest.fixture
def stage(client: AsyncQdrantClient, store: QdrantStore, settings: QdrantWorkerSettings) -> QdrantStage:
    return QdrantStage(client, settings.names)


@pytest.fixture
def vector() -> Callable[[str], list[float]]:
    """(DIMENSION,) floats, L2-normalised: the same for the same text."""

    def of_text(text: str) -> list[float]:
        seed = np.frombuffer(hashlib.sha256(text.encode()).digest(), dtype=np.uint64)
        values = np.random.default_rng(seed).standard_normal(DIMENSION)
        return [float(value) for value in values / np.linalg.norm(values)]

    return of_text


@pytest.fixture
def embed(settings: QdrantWorkerSettings, vector: Callable[[str], list[float]]) -> Callable[..., Embedding]:
    """The embedding of a text, or another vector in its place."""

    def embedding(text: str, model: str = settings.model, values: Sequence[float] | None = None) -> Embedding:
        data = np.asarray(vector(text) if values is None else values, dtype="<f4").tobytes()
        return Embedding(model=model, content_hash=hashlib.sha256(text.encode()).hexdigest(), vector=data)

    return embedding


@pytest.fixture
def upsert(embed: Callable[..., Embedding]) -> MakeChange:
    """An upsert; its text is unique unless it is given, and its vector depends only on the text."""

    def change(id: str, version: int, text: str | None = None, kind: Kind = "product", **fields: Any) -> EmbeddedChange:
        text = text or f"{id} at {version}"
        base = {"op": "upsert", "version": version, "occurred_at": datetime.now(UTC), ID_FIELDS[kind]: id}
        return EMBEDDED[kind].model_validate(base | {TEXT_FIELDS[kind]: text, "embedding": embed(text)} | fields)

    return change


@pytest.fixture
def delete() -> MakeChange:
    def change(id: str, version: int, kind: Kind = "product") -> EmbeddedChange:
        base = {"op": "delete", "version": version, "occurred_at": datetime.now(UTC), ID_FIELDS[kind]: id}
        return EMBEDDED[kind].model_validate(base)

    return change
