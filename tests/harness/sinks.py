"""Every installed sink, as the contract suite uses it: its entry point, its stage and its store.

The worked example of CONTRIBUTING.md counts as installed here, although it is not one of the product's workers.
"""

import asyncio
import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np

from harness.servers import SERVERS
from headrace_runtime.attempts import Attempts
from headrace_schemas.changes import CHANGES, ID_FIELDS, Change
from headrace_schemas.digest import digest_of
from headrace_schemas.embedded import Embedded, Embedding
from headrace_schemas.fields import Kind
from headrace_worker.settings import WorkerSettings
from headrace_worker.stage import Outcome, Stage, Unavailable
from headrace_worker.store import Store, Stored
from headrace_worker.worker import ENTRY_POINT_GROUP, Worker, load_worker, worker_names

EXAMPLE = Path(__file__).parents[2] / "docs" / "example-sink"
TEXT_FIELDS: Mapping[Kind, str] = {"product": "title", "keyword": "text"}


@dataclass(frozen=True)
class Sink:
    """One sink on its real server. `records`: what it reads for each kind."""

    worker: Worker
    settings: WorkerSettings
    records: Mapping[Kind, type[Change]]

    @property
    def takes_vectors(self) -> bool:
        return takes_vectors(self.records)

    @property
    def server(self) -> str:
        """The name of the server that it writes to."""
        (name,) = servers_of(self.worker)
        return name

    def stage(self) -> AbstractAsyncContextManager[Stage[Any]]:
        return self.worker.stage(self.settings)

    def store(self) -> Store:
        assert self.worker.store is not None
        return self.worker.store(self.settings)

    def upsert(self, kind: Kind, id: str, version: int, text: str | None = None, **fields: Any) -> Any:
        """A change to an entity of this text; its vector, where the sink takes one, follows from the text alone."""
        text = text or f"{id} at version {version}"
        if self.takes_vectors:
            fields = {"embedding": self.embedding(text)} | fields
        return self._change(kind, id, version, op="upsert", **{TEXT_FIELDS[kind]: text}, **fields)

    def delete(self, kind: Kind, id: str, version: int) -> Any:
        return self._change(kind, id, version, op="delete")

    def embedding(self, text: str, *, model: str | None = None, dimension: int | None = None) -> Embedding:
        return Embedding(
            model=model or self.settings.model,
            content_hash=hashlib.sha256(text.encode()).hexdigest(),
            vector=np.asarray(self.vector(text, dimension), dtype="<f4").tobytes(),
        )

    def vector(self, text: str, dimension: int | None = None) -> list[float]:
        """(d,) floats, L2-normalised: the same for the same text, far from any other's."""
        seed = np.frombuffer(hashlib.sha256(text.encode()).digest(), dtype=np.uint64)
        values = np.random.default_rng(seed).standard_normal(dimension or getattr(self.settings, "vector_size", 384))
        return [float(value) for value in values / np.linalg.norm(values)]

    def stored(self, change: Any) -> Stored:
        """What the store contains when the change is applied."""
        if change.deleted:
            return Stored(change.id, change.version, deleted=True, digest=digest_of(change))
        fields = {name: value for name, value in change.fields().items() if value is not None}
        embedding = getattr(change, "embedding", None)
        vector_facts = {"content_hash": embedding.content_hash, "model": embedding.model} if embedding else {}
        return Stored(change.id, change.version, deleted=False, fields=fields, **vector_facts, digest=digest_of(change))

    def _change(self, kind: Kind, id: str, version: int, **fields: Any) -> Any:
        fields |= {ID_FIELDS[kind]: id, "version": version, "occurred_at": datetime.now(UTC)}
        if self.takes_vectors and "digest" not in fields:
            fields["digest"] = digest_of(CHANGES[kind].model_validate(fields))
        return self.records[kind].model_validate(fields)


def impatient(settings: WorkerSettings, server: str) -> WorkerSettings:
    """These settings with two seconds for a request to the server, for a test in which it does not answer."""
    quick = getattr(settings, server).model_copy(update={"timeout": 2})
    return settings.model_copy(update={server: quick})


async def outcomes_of(stage: Stage[Any], changes: Sequence[Any], within: float = 60.0) -> list[Outcome]:
    """The outcomes when the store answers: a refused batch is bisected, unavailable changes are tried again."""
    attempts = Attempts(stage, timeout=within, poison_tries=5)
    outcomes = await attempts.apply(changes)
    async with asyncio.timeout(within):
        while waiting := [index for index, outcome in enumerate(outcomes) if isinstance(outcome, Unavailable)]:
            await asyncio.sleep(0.2)
            again = await attempts.apply([changes[index] for index in waiting])
            for index, outcome in zip(waiting, again, strict=True):
                outcomes[index] = outcome
    return outcomes


@cache
def load_sink(name: str) -> Worker:
    """The worker of a sink, from what is installed or else from the example's own declaration."""
    return load_worker(name) if name in worker_names() else example().load()


@cache
def example() -> EntryPoint:
    """The example's worker as its pyproject.toml declares it."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    ((name, value),) = project["entry-points"][ENTRY_POINT_GROUP].items()
    return EntryPoint(name, value, ENTRY_POINT_GROUP)


@cache
def sink_records(name: str) -> Mapping[Kind, type[Change]]:
    """What a worker reads for each kind, if it is a sink of catalogue changes; nothing otherwise."""
    worker = load_sink(name)
    if worker.store is None:
        return {}
    inputs = worker.inputs(worker.settings.model_construct())
    changes = [record for record in inputs.values() if issubclass(record, Change)]
    return {record.kind: record for record in changes} if {record.kind for record in changes} == set(CHANGES) else {}


def sink_names(*, vectors: bool = False) -> list[str]:
    """The installed sinks and the example; with `vectors` only those that take vectors."""
    names = [name for name in candidates() if sink_records(name)]
    return [name for name in names if takes_vectors(sink_records(name))] if vectors else names


def candidates() -> list[str]:
    """Every installed worker, and the example, which may be installed too."""
    return list(dict.fromkeys((*worker_names(), example().name)))


def server_sink_names() -> list[str]:
    """The sinks that write to a server which the tests can break."""
    return [name for name in sink_names() if servers_of(load_sink(name))]


def takes_vectors(records: Mapping[Kind, type[Change]]) -> bool:
    return all(issubclass(record, Embedded) for record in records.values())


def servers_of(worker: Worker) -> list[str]:
    """The servers whose settings the worker reads, by the name that both have; every worker reads Kafka's."""
    return [name for name in SERVERS if name in worker.settings.model_fields and name != "kafka"]
