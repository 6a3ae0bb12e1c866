"""A rebuild, killed at every step and continued or ended, while changes stream in and readers search."""

import asyncio
import itertools
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from harness.account import read_account, read_vectors
from harness.killed_command import Ended, Moment, run
from harness.public_searches import PublicNames, Searcher
from harness.records import delete, keyword, product, publish
from harness.servers import Servers
from harness.two_models import FORMER, WORKERS, TwoModels
from harness.verdict import judge

from headrace_clients.kafka import producer
from headrace_clients.pauses import current_pause
from headrace_verify.settled_workers import until_settled
from headrace_worker.worker import load_worker

pytestmark = [
    pytest.mark.servers,
    pytest.mark.long,
    pytest.mark.timeout(3600),
    pytest.mark.asyncio(loop_scope="module"),
]

STORES = ("elasticsearch", "qdrant", "pgvector")
REBUILT = ("elasticsearch",)
MOVING = [f"m{number}" for number in range(6)]
STILL = [f"s{number}" for number in range(40)]
DELETED = [f"d{number}" for number in range(5)]
KEYWORDS = [f"k{number}" for number in range(5)]
FORGOTTEN = "forgotten"
"""A product of which only the stores know that it is deleted, as 30 days after a null delete."""
AHEAD = f"product {FORGOTTEN}: ahead: is a tombstone of an entity that the topic does not have"
PUBLISH_SECONDS = 0.3


class Installed:
    """All workers of one model, a stream of changes that can rest, and the public names."""

    def __init__(self, servers: Servers, directory: Path) -> None:
        self.models = TwoModels(servers, directory)
        self.public = PublicNames(self.models.environment(FORMER), self.models.settings.names)
        self.searcher = Searcher(self.public, [*MOVING, *STILL], KEYWORDS)
        self.publishing = asyncio.Lock()
        self.versions = itertools.count(2)

    async def open(self) -> None:
        """Creates everything, and starts the workers of the first model."""
        await self.models.headrace(FORMER, "topics", "apply")
        await self.models.headrace(FORMER, "stores", "apply")
        self.models.start(FORMER)
        settings = self.models.settings
        products = [*[product(id, 1) for id in (*MOVING, *STILL, *DELETED)], *[delete(id, 2) for id in DELETED]]
        await publish(settings, settings.topics.source("keyword"), [keyword(id, 1) for id in KEYWORDS])
        await publish(settings, settings.topics.source("product"), products)
        await self.forget_on_topics()
        await self.is_clean_build()

    async def close(self) -> None:
        self.models.end()
        await self.public.close()

    async def run(self, *arguments: str, kill_at: Moment | None = None) -> Ended:
        """Runs a command. If it is to be killed, it is killed there."""
        environment = self.models.environment(FORMER)
        ended = await asyncio.to_thread(run, *arguments, environment=environment, kill_at=kill_at)
        if kill_at is not None:
            assert (ended.status, ended.killed_in) == (-signal.SIGKILL, kill_at.step), (kill_at, ended)
        return ended

    async def stream(self) -> None:
        """Publishes new versions of some products until it is cancelled."""
        async with producer(self.models.settings.kafka, linger_ms=0) as client:
            for id in itertools.cycle(MOVING):
                value = json.dumps(product(id, next(self.versions))).encode()
                async with self.publishing:
                    await client.send_and_wait(self.models.settings.topics.source("product"), value, id.encode())
                await asyncio.sleep(PUBLISH_SECONDS)

    @asynccontextmanager
    async def live(self) -> AsyncIterator[None]:
        """Changes stream in, and every store is searched all the time."""
        before = sum(self.searcher.answers.values())
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.stream())]
            tasks += [group.create_task(self.searcher.search(store)) for store in STORES]
            yield
            for task in tasks:
                task.cancel()
        assert sum(self.searcher.answers.values()) > before + len(STORES)

    async def is_clean_build(self) -> None:
        """Waits until every store and link set is what the topics say. The stream rests meanwhile."""
        view = self.models.of(FORMER)
        async with self.publishing:
            with pytest.MonkeyPatch.context() as patch:
                for name, value in self.models.environment(FORMER).items():
                    patch.setenv(name, value)
                assert await until_settled(view.settings, WORKERS, 180) == []
            verdict = await judge(view, await read_account(view), await read_vectors(view.settings))
        assert verdict.said == [f"{store}: {AHEAD}" for store in sorted(STORES)]
        assert verdict.entities == len([*MOVING, *STILL, *DELETED, *KEYWORDS])

    async def forget_on_topics(self) -> None:
        """Every store gets a delete that is on no topic."""
        view = self.models.of(FORMER)
        for name in STORES:
            worker, settings = load_worker(name), view.settings_of(name)
            assert worker.stage is not None
            inputs: Any = worker.inputs(settings).values()
            (model,) = [one for one in inputs if getattr(one, "kind", "") == "product"]
            async with worker.stage(settings) as stage:
                await stage.apply([model.model_validate(delete(FORGOTTEN, 9))])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installed(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installed]:
    made = Installed(servers, tmp_path_factory.mktemp("workers"))
    try:
        await made.open()
        yield made
    finally:
        await made.close()


def moments(step: str, requests: int) -> list[Moment]:
    """The step begins; one request of it is sent; all of them are."""
    return [Moment(step, sent) for sent in sorted({0, 1, requests})]


@pytest.mark.parametrize("store", REBUILT)
async def test_a_rebuild_that_is_killed_at_any_step_is_continued_and_ends_as_a_clean_build(
    installed: Installed, store: str
) -> None:
    async with installed.live():
        first = await installed.run("rebuild", store)
        assert first.status == 0, first.said
        await installed.is_clean_build()
        await remove_former(installed, store)
        assert [step for step, _ in first.steps][-2:] == ["switch", "catch up"]
        for step, requests in first.steps:
            for moment in moments(step, requests):
                await installed.run("rebuild", store, kill_at=moment)
            done = await installed.run("rebuild", store)
            assert done.status == 0, (step, done.said)
            assert await current_pause(installed.models.settings, store) is None
            await installed.is_clean_build()
            await remove_former(installed, store)


@pytest.mark.parametrize("store", REBUILT)
async def test_a_rebuild_that_is_killed_at_any_step_and_ended_leaves_the_store_as_it_was(
    installed: Installed, store: str
) -> None:
    async with installed.live():
        first = await installed.run("rebuild", store)
        assert first.status == 0, first.said
        await remove_former(installed, store)
        before, steps = await installed.public.objects(), [step for step, _ in first.steps]
        for step in steps[:-1]:
            await installed.run("rebuild", store, kill_at=Moment(step, 2))
            for of_end in ("begin anew", "remove the new objects"):
                await installed.run("rebuild", store, "--abort", "--yes", kill_at=Moment(of_end, 1))
            done = await installed.run("rebuild", store, "--abort", "--yes")
            assert done.status == 0, (step, done.said)
            assert await installed.public.objects() == before, step
            assert await current_pause(installed.models.settings, store) is None
        await installed.is_clean_build()

        # After the switch it is too late: the command says so. The removal of the former objects does what is left.
        await installed.run("rebuild", store, kill_at=Moment(steps[-1]))
        switched = await installed.public.objects()
        refused = await installed.run("rebuild", store, "--abort", "--yes")
        assert refused.status == 1
        assert "switched already" in refused.said
        assert await installed.public.objects() == switched
        await remove_former(installed, store)
        assert await current_pause(installed.models.settings, store) is None
        await installed.is_clean_build()

        # An end that is killed may be followed by another rebuild, which does not trust what is left.
        await installed.run("rebuild", store, kill_at=Moment("compare"))
        await installed.run("rebuild", store, "--abort", "--yes", kill_at=Moment("remove the new objects", 1))
        assert (await installed.run("rebuild", store)).status == 0
        await installed.is_clean_build()
        await remove_former(installed, store)


async def remove_former(installed: Installed, store: str) -> None:
    """A removal that is killed is repeated."""
    removal = ("rebuild", store, "--drop-old", "--yes")
    await installed.run(*removal, kill_at=Moment("remove the former objects", 1))
    done = await installed.run(*removal)
    assert done.status == 0, done.said
