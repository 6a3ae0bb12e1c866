"""The catalogue publishes two contents under one version: every sink keeps the first and reports the second."""

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from harness.installation import prepared
from harness.live_workers import running
from harness.records import delete, eventually, product, publish, receipts
from harness.servers import SERVERS, Servers

from headrace_cli.kafka_topics import apply_topics
from headrace_worker.settings import WorkerSettings
from headrace_worker.store import Store
from headrace_worker.worker import load_worker, rejecting_names

pytestmark = pytest.mark.servers

SINKS = ("elasticsearch", "pgvector", "qdrant")


class Catalogue:
    """The source topic of products, `embed` and the sinks."""

    def __init__(self, servers: Servers) -> None:
        self._variables = {"TOPIC_PREFIX": f"t{uuid.uuid4().hex[:8]}."}
        self._servers = servers
        self.settings = self.settings_of(WorkerSettings)
        self.stores: dict[str, Store] = {}

    def settings_of(self, kind: type[Any]) -> Any:
        return self._servers.settings(kind, *SERVERS, **self._variables)

    async def publish(self, *changes: dict[str, Any]) -> None:
        await publish(self.settings, self.settings.topics.source("product"), changes)

    async def reported(self, count: int) -> dict[str, dict[str, list[str]]]:
        """Waits until each worker has reported so many records. Returns the outcomes of each product, in the order of
        its records, by worker.
        """
        await eventually(lambda: self._have_reported(count), within=60)
        return {name: await self._outcomes(name) for name in ("embed", *SINKS)}

    async def titles(self, *ids: str) -> dict[str, list[Any]]:
        """The version and the title of each of these products, by sink. The title of a tombstone is None."""
        found = {}
        for name, store in self.stores.items():
            stored = await store.get("product", ids)
            found[name] = [(stored[id].version, stored[id].fields.get("title")) for id in ids]
        return found

    async def _have_reported(self, count: int) -> bool:
        return all([len(await receipts(self.settings, name)) == count for name in ("embed", *SINKS)])

    async def _outcomes(self, worker: str) -> dict[str, list[str]]:
        outcomes: dict[str, list[str]] = {}
        for _, receipt in sorted((await receipts(self.settings, worker)).items()):
            outcomes.setdefault(str(receipt.id), []).append(receipt.outcome)
        return outcomes


@asynccontextmanager
async def opened(servers: Servers) -> AsyncIterator[tuple[Catalogue, AsyncExitStack]]:
    catalogue = Catalogue(servers)
    await apply_topics(catalogue.settings, rejecting_names())
    async with AsyncExitStack() as stack:
        for name in SINKS:
            worker = load_worker(name)
            catalogue.stores[name] = await prepared(worker, catalogue.settings_of(worker.settings))
            stack.push_async_callback(catalogue.stores[name].close)
        yield catalogue, stack


async def test_every_sink_keeps_the_first_content_of_a_version_until_a_higher_version(servers: Servers) -> None:
    run = uuid.uuid4().hex[:8]
    together, apart, deleted = ids = [f"{run}-{name}" for name in ("together", "apart", "deleted")]
    async with opened(servers) as (catalogue, stack):
        # Published before the workers start: one batch.
        await catalogue.publish(
            product(together, 3, title="first"),
            product(together, 3, title="second"),
            product(apart, 3, title="first"),
            delete(deleted, 3),
        )
        for worker in map(load_worker, ("embed", *SINKS)):
            await stack.enter_async_context(running(worker, catalogue.settings_of(worker.settings)))
        await catalogue.reported(4)
        await catalogue.publish(product(apart, 3, title="second"), product(deleted, 3, title="second"))
        reported = await catalogue.reported(6)
        assert reported == {
            "embed": {id: ["applied", "applied"] for id in ids},
            **{name: {id: ["applied", "conflict"] for id in ids} for name in SINKS},
        }
        kept = [(3, "first"), (3, "first"), (3, None)]
        assert await catalogue.titles(*ids) == dict.fromkeys(SINKS, kept)

        await catalogue.publish(*(product(id, 4, title="corrected") for id in ids))
        reported = await catalogue.reported(9)
        assert {outcomes[-1] for by_id in reported.values() for outcomes in by_id.values()} == {"applied"}
        assert await catalogue.titles(*ids) == {name: [(4, "corrected")] * 3 for name in SINKS}
