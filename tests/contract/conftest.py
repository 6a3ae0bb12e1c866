"""A sink, its stage and its store for each test of the contract suite, once for each sink."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest
from harness.link_sinks import LinkSink, link_sink_names
from harness.servers import Servers
from harness.sinks import Sink, load_sink, servers_of, sink_names, sink_records

from headrace_schemas.fields import Kind
from headrace_worker.settings import WorkerSettings
from headrace_worker.stage import Stage
from headrace_worker.store import LinkStore, Store
from headrace_worker.worker import Worker

TIMEOUT = "10"
"""Seconds of one request, so that a test of a silent server does not wait for the default of 30 s."""


@pytest.fixture(scope="session", params=sink_names())
def sink(request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Sink:
    """The sink on its prepared store. All tests share the store and use different ids."""
    worker = load_sink(request.param)
    sink = Sink(worker, settings_of(worker, servers, tmp_path_factory), sink_records(worker.name))
    asyncio.run(prepare(sink))
    return sink


@pytest.fixture(scope="session", params=link_sink_names())
def link_sink(request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> LinkSink:
    """The sink of link sets on its prepared store, which all tests share."""
    worker = load_sink(request.param)
    sink = LinkSink(worker, settings_of(worker, servers, tmp_path_factory))
    asyncio.run(prepare(sink))
    return sink


def settings_of(worker: Worker, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> WorkerSettings:
    """Settings that lead to the worker's servers. A sink without a server, like the worked example, has a file."""
    names = servers_of(worker)
    variables = {f"{name.upper()}__TIMEOUT": TIMEOUT for name in names}
    if not names:
        variables = {f"{worker.name.upper()}__PATH": str(tmp_path_factory.mktemp(worker.name) / "store")}
    return servers.settings(worker.settings, *names, **variables)


async def prepare(sink: Sink | LinkSink) -> None:
    store = sink.store()
    try:
        await store.prepare()
    finally:
        await store.close()


@pytest.fixture
async def stage(sink: Sink) -> AsyncIterator[Stage[Any]]:
    async with sink.stage() as opened:
        yield opened


@pytest.fixture
async def store(sink: Sink) -> AsyncIterator[Store]:
    opened = sink.store()
    yield opened
    await opened.close()


@pytest.fixture
async def link_stage(link_sink: LinkSink) -> AsyncIterator[Stage[Any]]:
    async with link_sink.stage() as opened:
        yield opened


@pytest.fixture
async def link_store(link_sink: LinkSink) -> AsyncIterator[LinkStore]:
    opened = link_sink.store()
    yield opened
    await opened.close()


@pytest.fixture(params=["product", "keyword"])
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture
def new_id() -> Callable[[str], str]:
    """Makes ids that no other test uses: `new_id("a")` is the same id each time within a test."""
    prefix = uuid4().hex[:12]
    return lambda name: f"{prefix}-{name}"
