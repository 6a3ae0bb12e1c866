"""One record from FastStream's subscriber to Qdrant's client: the files that it runs through are those that the
documentation lists.

`python -m pytest -s tests/docs/test_record_path.py` prints them.
"""

import base64
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from harness.fake_consumers import FakeConsumers
from harness.kafka_record import kafka_record
from harness.records import product
from qdrant_client import AsyncQdrantClient, models

from headrace_clients.qdrant import VECTOR
from headrace_qdrant.app import worker
from headrace_qdrant.settings import QdrantWorkerSettings
from headrace_runtime.app import build
from headrace_runtime.batch import BatchPath
from headrace_runtime.publisher import Publisher

ROOT = Path(__file__).parents[2]
MOST_FILES = 8
DIMENSION = 8


class Profile:
    """The product's files that run between the start of the batch and the write by the store's client.

    The records' models in `schemas/` are left out: what they check is part of a record's definition.
    """

    def __init__(self) -> None:
        self.files: list[str] = []
        self._started = self._written = False

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        self._started = self._started or code is BatchPath.handle.__code__
        self._written = self._written or code is AsyncQdrantClient.upsert.__code__
        if event != "call" or not self._started or self._written:
            return
        file = Path(code.co_filename)
        if file.is_relative_to(ROOT) and "src" in file.parts:
            name = file.relative_to(ROOT).as_posix()
            if not name.startswith("schemas/") and name not in self.files:
                self.files.append(name)


def documented() -> list[str]:
    """The files that architecture.md lists as the path of a record."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    section = page.split("## The path of a record")[1].split("\n## ")[0]
    return re.findall(r"^\d+\. `([^`]+)`", section, re.MULTILINE)


def fake_qdrant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces Qdrant, so that the path of a record can be followed without a server."""
    vectors = {VECTOR: models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE)}
    stored: dict[Any, models.Record] = {}

    async def get_collection(client: AsyncQdrantClient, name: str) -> Any:
        params = SimpleNamespace(vectors=vectors)
        return SimpleNamespace(config=SimpleNamespace(params=params))

    async def retrieve(client: AsyncQdrantClient, name: str, ids: Sequence[Any], **options: Any) -> list[models.Record]:
        return [stored[id] for id in ids if id in stored]

    async def upsert(client: AsyncQdrantClient, name: str, points: Any, *options: Any, **more: Any) -> Any:
        stored.update({point.id: models.Record(id=point.id, payload=point.payload) for point in points})
        return models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED)

    for method in (get_collection, retrieve, upsert):
        monkeypatch.setattr(AsyncQdrantClient, method.__name__, method)


async def test_the_path_of_a_record_has_the_documented_files(monkeypatch: pytest.MonkeyPatch) -> None:
    consumers = FakeConsumers()
    consumers.install(monkeypatch)

    async def acknowledge(publisher: Publisher, records: Sequence[Any]) -> None:
        return None

    monkeypatch.setattr(Publisher, "publish", acknowledge)
    fake_qdrant(monkeypatch)
    settings = QdrantWorkerSettings(model="m1", dimension=DIMENSION)
    vector = base64.b64encode(np.ones(DIMENSION, "<f4").tobytes()).decode()
    embedding = {"model": "m1", "content_hash": "a" * 64, "vector": vector}
    topic = settings.topics.embedded("product", "m1")
    first, second = (kafka_record(product(id, 1) | {"embedding": embedding}, topic=topic) for id in ("p1", "p2"))
    async with build(worker, settings).start_lifespan_context():
        group = await consumers.group(f"{settings.topic_prefix}qdrant")
        # With the first batch a stage asks the store what its collections accept.
        assert await group.deliver(first) == "committed"
        profile = Profile()
        sys.setprofile(profile)
        try:
            assert await group.deliver(second) == "committed"
        finally:
            sys.setprofile(None)
    print(*profile.files, sep="\n")
    assert sorted(profile.files) == sorted(documented())
    assert len(profile.files) <= MOST_FILES
