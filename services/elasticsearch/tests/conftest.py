"""Indices of its own for each test, on the Elasticsearch of the session."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from elasticsearch import AsyncElasticsearch
from harness.servers import Servers

from headrace_elasticsearch.client import connect
from headrace_elasticsearch.indices import Indices, indices
from headrace_elasticsearch.settings import ElasticsearchSettings, ElasticsearchWorkerSettings
from headrace_elasticsearch.stage import ElasticsearchStage
from headrace_elasticsearch.store import ElasticsearchStore
from headrace_schemas.changes import KeywordChange, ProductChange
from headrace_worker.store_names import StoreNames

Product = Callable[..., ProductChange]
Keyword = Callable[..., KeywordChange]


@pytest.fixture
def elasticsearch_settings(servers: Servers) -> ElasticsearchSettings:
    return servers.settings(ElasticsearchWorkerSettings, "elasticsearch").elasticsearch


@pytest.fixture
def names() -> Indices:
    return indices(StoreNames(f"t{uuid4().hex[:10]}", "minilm-l6-v2"))


def namespace(names: Indices) -> str:
    return names["product"].alias.partition("-")[0]


@pytest.fixture
async def client(elasticsearch_settings: ElasticsearchSettings, names: Indices) -> AsyncIterator[AsyncElasticsearch]:
    async with connect(elasticsearch_settings) as client:
        yield client
        made = (await client.indices.get(index=f"{namespace(names)}-*")).body
        if made:
            await client.indices.delete(index=list(made))


@pytest.fixture
async def store(client: AsyncElasticsearch, names: Indices) -> ElasticsearchStore:
    """The read side, with its indices created."""
    store = ElasticsearchStore(client, names)
    await store.prepare()
    return store


@pytest.fixture
async def stage(client: AsyncElasticsearch, names: Indices, store: ElasticsearchStore) -> ElasticsearchStage:
    return ElasticsearchStage(client, names)


@pytest.fixture
def product() -> Product:
    def change(id: str, version: int = 1, **fields: Any) -> ProductChange:
        base = {"op": "upsert", "version": version, "occurred_at": datetime.now(UTC), "product_id": id, "title": "Lamp"}
        return ProductChange.model_validate(base | fields)

    return change


@pytest.fixture
def keyword() -> Keyword:
    def change(id: str, version: int = 1, **fields: Any) -> KeywordChange:
        base = {"op": "upsert", "version": version, "occurred_at": datetime.now(UTC), "keyword_id": id, "text": "lamp"}
        return KeywordChange.model_validate(base | fields)

    return change
