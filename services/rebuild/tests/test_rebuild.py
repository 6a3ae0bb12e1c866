"""A store is rebuilt under a live stream: searches answer all the time and step back never, whenever it is killed."""

import asyncio
import itertools
import json
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from harness.forked_command import headrace, inherited
from harness.processes import WorkerProcess
from harness.records import delete, eventually, product, publish
from harness.servers import SERVERS, Servers

from headrace_clients.kafka import producer
from headrace_worker.settings import WorkerSettings
from headrace_worker.store import Observable
from headrace_worker.worker import load_worker

pytestmark = pytest.mark.servers

FEEDERS = {"elasticsearch": [], "qdrant": ["embed"], "pgvector": ["embed"]}
STEPS = ("create", "fill", "links", "take over", "compare", "switch", "catch up")
MOVING = [f"m{number}" for number in range(20)]
STILL = [f"s{number}" for number in range(120)]
FORGOTTEN = "forgotten"
"""A product of which only the store in use knows that it is deleted."""


class Installed:
    """One store with its workers, on topics and in a namespace of its own."""

    def __init__(self, servers: Servers, directory: Path, store: str) -> None:
        run = uuid.uuid4().hex[:8]
        self.store_name = store
        variables = {"TOPIC_PREFIX": f"r{run}.", "NAMESPACE": f"r{run}", "KAFKA__SESSION_TIMEOUT": "6"}
        self.settings = servers.settings(WorkerSettings, *SERVERS, **variables)
        self.of_store: Any = servers.settings(load_worker(store).settings, *SERVERS, **variables)
        self.environment = dict(servers.need()) | {f"HEADRACE_{name}": value for name, value in variables.items()}
        self.workers = [WorkerProcess(name, self.environment, directory) for name in (*FEEDERS[store], store)]
        self.versions = itertools.count(2)
        self.newest: dict[str, int] = dict.fromkeys(MOVING, 1)

    def headrace(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return headrace(*arguments, environment=self.environment, timeout=300)

    def rebuild(self, *, kill_at: str | None = None) -> int:
        """Runs the command; kills it when it begins that step. Returns its exit status."""
        said = []
        with subprocess.Popen(
            [sys.executable, "-m", "headrace_cli", "rebuild", self.store_name],
            env=inherited() | self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stderr is not None
            for line in process.stderr:
                said.append(line)
                if kill_at is not None and line.strip() == f"step: {kill_at}":
                    process.kill()
        assert process.returncode in (0, -signal.SIGKILL), (process.returncode, "".join(said))
        return process.returncode

    def store(self) -> Any:
        worker = load_worker(self.store_name)
        assert worker.store is not None
        return worker.store(self.of_store)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Any]:
        store = self.store()
        try:
            yield store
        finally:
            await store.close()

    async def is_searchable(self) -> bool:
        async with self.opened() as store:
            return (await store.searchable("product", [*MOVING, *STILL])).keys() == {*MOVING, *STILL[10:]}


@pytest.fixture
async def installed(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> AsyncIterator[Installed]:
    made = Installed(servers, tmp_path, request.param)
    for command in ("topics", "stores"):
        done = await asyncio.to_thread(made.headrace, command, "apply")
        assert done.returncode == 0, done.stderr
    for worker in made.workers:
        worker.start()
    records = [product(id, 1) for id in (*MOVING, *STILL)] + [delete(id, 2) for id in STILL[:10]]
    await publish(made.settings, made.settings.topics.source("product"), records)
    await eventually(made.is_searchable, within=120)
    yield made
    for worker in made.workers:
        worker.end()


async def stream(installed: Installed, stop: asyncio.Event) -> None:
    """Publishes new versions of some products until it is stopped."""
    async with producer(installed.settings.kafka, linger_ms=0) as client:
        for id in itertools.cycle(MOVING):
            if stop.is_set():
                return
            version = next(installed.versions)
            record = product(id, version)
            await client.send_and_wait(
                installed.settings.topics.source("product"), json.dumps(record).encode(), id.encode()
            )
            installed.newest[id] = version
            await asyncio.sleep(0.02)


async def watch(installed: Installed, stop: asyncio.Event) -> None:
    """Searches until it is stopped: every product that lives is found, and no version is older than one before."""
    seen: dict[str, int] = {}
    async with installed.opened() as store:
        assert isinstance(store, Observable)
        while not stop.is_set():
            found = await store.searchable("product", [*MOVING, *STILL])
            assert found.keys() == {*MOVING, *STILL[10:]}
            for id in MOVING:
                assert found[id] >= seen.get(id, 0), f"{id} stepped back from {seen[id]} to {found[id]}"
                seen[id] = found[id]
            await asyncio.sleep(0.02)


@asynccontextmanager
async def live(installed: Installed) -> AsyncIterator[None]:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(stream(installed, stop))
        tasks.create_task(watch(installed, stop))
        yield
        stop.set()


async def write_forgotten(installed: Installed) -> None:
    """The store in use gets a delete that is on no topic, as after 30 days."""
    worker = load_worker(installed.store_name)
    assert worker.stage is not None
    (model,) = [one for one in worker.inputs(installed.of_store).values() if getattr(one, "kind", "") == "product"]
    async with worker.stage(installed.of_store) as stage:
        await stage.apply([model.model_validate(delete(FORGOTTEN, 9))])


async def check(installed: Installed) -> None:
    """The end equals the newest changes, and the store in use is the new one."""

    async def right() -> bool:
        async with installed.opened() as store:
            stored = await store.get("product", [*MOVING, *STILL, FORGOTTEN])
            return {id: (one.version, one.deleted) for id, one in stored.items()} == {
                **{id: (version, False) for id, version in installed.newest.items()},
                **{id: (2, True) if id in STILL[:10] else (1, False) for id in STILL},
                FORGOTTEN: (9, True),
            }

    await eventually(right, within=60)
    worker = load_worker(installed.store_name)
    assert worker.beside is not None
    beside = worker.beside(installed.of_store)
    assert await beside.state() == "switched"
    await beside.close()
    done = await asyncio.to_thread(installed.headrace, "rebuild", installed.store_name, "--drop-old", "--json")
    assert done.returncode == 0, done.stderr
    await eventually(right, within=60)


@pytest.mark.parametrize("installed", ["elasticsearch"], indirect=True)
async def test_a_rebuild_that_is_killed_is_continued_and_no_search_steps_back(installed: Installed) -> None:
    await write_forgotten(installed)
    async with live(installed):
        assert await asyncio.to_thread(installed.rebuild, kill_at="switch") == -signal.SIGKILL
        assert await asyncio.to_thread(installed.rebuild) == 0
        await asyncio.sleep(2)
    await check(installed)


@pytest.mark.long
@pytest.mark.parametrize("installed", ["elasticsearch", "qdrant", "pgvector"], indirect=True)
async def test_a_rebuild_of_each_store_is_killed_at_every_step(installed: Installed) -> None:
    await write_forgotten(installed)
    async with live(installed):
        for step in STEPS:
            if step != "links" or installed.store_name != "qdrant":
                assert await asyncio.to_thread(installed.rebuild, kill_at=step) == -signal.SIGKILL, step
        assert await asyncio.to_thread(installed.rebuild) == 0
        await asyncio.sleep(2)
    await check(installed)


@pytest.mark.long
@pytest.mark.parametrize("installed", ["elasticsearch", "qdrant", "pgvector"], indirect=True)
async def test_a_rebuild_that_is_ended_leaves_the_store_as_it_was(installed: Installed) -> None:
    async with live(installed):
        assert await asyncio.to_thread(installed.rebuild, kill_at="compare") == -signal.SIGKILL
        done = await asyncio.to_thread(installed.headrace, "rebuild", installed.store_name, "--abort", "--json")
        assert done.returncode == 0, done.stderr
        worker = load_worker(installed.store_name)
        assert worker.beside is not None
        beside = worker.beside(installed.of_store)
        assert await beside.state() == "none"
        await beside.close()
        await asyncio.sleep(2)
    await write_forgotten(installed)
    assert await asyncio.to_thread(installed.rebuild) == 0
    await check(installed)
