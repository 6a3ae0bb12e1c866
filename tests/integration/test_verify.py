"""Every planted damage is found, and nothing else, also while changes stream in."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from harness.damages import open_damages, plant
from harness.forked_command import headrace
from harness.live_workers import most
from harness.records import eventually
from harness.servers import Servers
from harness.verification import LINKING, REJECTED, WORKERS, Catalogue, delete, open_catalogue, upsert

from headrace_verify.app import application
from headrace_verify.compared_store import open_compared
from headrace_verify.comparison import Options, compare, compare_and_repair
from headrace_verify.link_comparison import open_link_stores
from headrace_verify.printout import as_object
from headrace_verify.purge import purge, shortest_age
from headrace_verify.report import Report, StoreReport
from headrace_verify.run import Call, run, run_purge, status
from headrace_verify.settings import VerifyOptions, VerifySettings


async def compared(catalogue: Catalogue, **options: float) -> Report:
    async with open_compared(catalogue.settings) as stores:
        return await compare(catalogue.settings, stores, options=Options(**options))  # type: ignore[arg-type]


def listed(report: Report) -> set[tuple[str, str, str, str]]:
    return {(one.store, one.finding.kind, one.finding.id, one.finding.difference.value) for one in report.different}


@asynccontextmanager
async def streaming(catalogue: Catalogue) -> AsyncIterator[None]:
    """Publishes updates, deletes and duplicates of products that nobody damages, until the end of the block."""

    async def stream() -> None:
        number = 0
        while True:
            number += 1
            ids = [f"s-{(number + step) % 40:03}" for step in range(5)]
            changes = [upsert("product", id, 10 * number + step) for step, id in enumerate(ids)]
            changes += [changes[0], delete("product", ids[1], 10 * number + 9)]
            await catalogue.publish(changes)
            await asyncio.sleep(0.3)

    task = asyncio.create_task(stream())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def check_damages(servers: Servers, number: int) -> None:
    async with open_catalogue(servers, *WORKERS) as catalogue, open_damages(catalogue) as damages:
        live, gone = [f"p-{n:05}" for n in range(number)], [f"d-{n:05}" for n in range(number)]
        versions = {id: 100 + place for place, id in enumerate([*live, *gone])}
        changes = [upsert("product", id, versions[id], price=1.5, attributes={"a": 1e2}) for id in live]
        changes += [upsert("product", id, versions[id] - 1) for id in gone]
        changes += [delete("product", id, versions[id]) for id in gone]
        changes += [upsert("product", REJECTED[0], version) for version in (REJECTED[1] - 1, REJECTED[1])]
        await catalogue.publish([*changes, *(upsert("keyword", f"k-{n}", 1) for n in range(20))])
        await catalogue.settled()
        assert await catalogue.installation.letters("elasticsearch")
        async with streaming(catalogue):
            planted = await plant(damages, live, gone, versions)
            await catalogue.publish([upsert("product", "c", 1, text=text) for text in ("x", "y")])
            planted |= {(store, "product", "c", "conflict") for store in damages.of}
            assert len(planted) >= number
            async with open_compared(catalogue.settings) as stores:
                after = await compare_and_repair(catalogue.settings, stores)
        assert after.known, as_object(after)
        left = {one for one in planted if one[3] in ("ahead", "conflict")}
        assert listed(after) == left
        assert listed(Report([StoreReport("all", found=list(after.repaired))])) == planted - left
        letters = [len(await catalogue.installation.letters(name)) for name in WORKERS]
        assert dict(zip(WORKERS, letters, strict=True)) == dict.fromkeys(WORKERS, 0) | {"elasticsearch": 1}


@pytest.mark.long
async def test_damages_of_every_kind_are_found_and_mended_while_changes_stream_in(servers: Servers) -> None:
    await check_damages(servers, 30)


@pytest.mark.long
async def test_a_thousand_damages_are_found_and_mended_while_changes_stream_in(servers: Servers) -> None:
    await check_damages(servers, 1000)


async def test_a_damage_of_each_kind_is_found_and_a_store_that_is_only_behind_is_right(servers: Servers) -> None:
    async with open_catalogue(servers, *WORKERS) as catalogue:
        await catalogue.publish([upsert("product", id, 1) for id in ("a", REJECTED[0])])
        live, gone = [f"p-{n}" for n in range(40)], [f"d-{n}" for n in range(6)]
        await catalogue.publish([upsert("product", id, 9, price=1.5, attributes={"a": 1e2}) for id in live])
        await catalogue.publish(
            [change for id in gone for change in (upsert("product", id, 8), delete("product", id, 9))]
        )
        await catalogue.settled()
        await check_a_store_that_is_behind_is_right(catalogue)
        await check_a_damage_of_each_kind_is_found(catalogue, live, gone)


async def check_a_store_that_is_behind_is_right(catalogue: Catalogue) -> None:
    """Its worker starts when the store was read, and makes a letter of a change that the comparison has read. A newer
    change is published when the store was read for the second time.
    """
    behind, newer = asyncio.Event(), count(3)

    def on_progress(what: str, done: int, total: int) -> None:
        if what == "elasticsearch":
            behind.set()

    await catalogue.stop("elasticsearch")
    changes = [upsert("product", "a", 2), upsert("product", *REJECTED), upsert("product", "b", 1)]
    await catalogue.publish(changes)
    async with open_compared(catalogue.settings, ["elasticsearch"]) as [store]:
        followed = replace(
            store, scan=Followed(store.scan, lambda: catalogue.publish([upsert("product", "a", next(newer))]))
        )
        comparing = asyncio.ensure_future(compare(catalogue.settings, [followed], on_progress=on_progress))
        async with asyncio.timeout(60):
            await behind.wait()
        await catalogue.start("elasticsearch")
        report = await comparing
    assert await catalogue.installation.letters("elasticsearch")
    assert report.right, as_object(report)


async def check_a_damage_of_each_kind_is_found(catalogue: Catalogue, live: list[str], gone: list[str]) -> None:
    async with open_damages(catalogue) as damages:
        planted = await plant(damages, live, gone, dict.fromkeys([*live, *gone], 9))
        assert {(store, how) for store, of_store in damages.of.items() for how in of_store} == {
            (store, how) for store, _, _, how in planted
        }
    report = await compared(catalogue)
    assert report.known, as_object(report)
    assert listed(report) == planted


class Followed:
    """A scan of a store. After entities were read by their keys something happens."""

    def __init__(self, scan: Any, then: Callable[[], Awaitable[None]]) -> None:
        self._scan = scan
        self._then = then

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scan, name)

    async def read(self, kind: Any, keys: Any) -> Any:
        found = await self._scan.read(kind, keys)
        await self._then()
        return found


@pytest.mark.long
async def test_the_command_the_worker_and_the_purge_see_what_differs(servers: Servers) -> None:
    async with open_catalogue(servers, *LINKING) as catalogue:
        await catalogue.publish([upsert("keyword", f"k-{n}", 1) for n in range(8)])
        await catalogue.publish([*(upsert("product", f"p-{n}", 5) for n in range(20)), delete("product", "p-0", 6)])
        await catalogue.settled()
        await check_broken_link_sets_are_mended(catalogue)
        await check_the_command(catalogue)
        await check_the_worker_finds_an_emptied_index(catalogue)
        await check_old_tombstones_are_removed(catalogue)


async def check_the_command(catalogue: Catalogue) -> None:
    async with open_damages(catalogue) as damages:
        await damages.of["pgvector"]["missing"]("p-3", 5)
    with pytest.MonkeyPatch.context() as patch:
        # A store that does not answer, beside one that differs.
        patch.setenv("HEADRACE_QDRANT__URL", "http://127.0.0.1:1")
        report = await compared(catalogue)
        assert listed(report) == {("pgvector", "product", "p-3", "missing")}
        assert [one.store for one in report.stores if one.problem] == ["qdrant"]
        assert (status(report), report.known) == (1, False)
        assert await asyncio.to_thread(run, Call(("qdrant",), None, 60, repair=False, as_json=True)) == 3
    assert await asyncio.to_thread(run_purge, (), 13, True) == 2
    found, mended = await command(catalogue), await command(catalogue, "--store", "pgvector", "--repair")
    assert (found[0], mended[0]) == (1, 0)
    counts = {one["store"]: one["counts"] for one in found[1]["stores"] if one["counts"]}
    assert counts == {"pgvector": {"missing": 1}}
    assert [one["id"] for one in mended[1]["repaired"]] == ["p-3"]


async def command(catalogue: Catalogue, *options: str) -> tuple[int, Any]:
    """The exit status and the JSON of `headrace verify`."""
    done = await asyncio.to_thread(headrace, "verify", "--json", *options, environment=catalogue.environment)
    return done.returncode, json.loads(done.stdout)


async def check_broken_link_sets_are_mended(catalogue: Catalogue) -> None:
    async with open_damages(catalogue) as damages:
        await damages.break_links("p-1", "p-2", "p-3")
    async with open_compared(catalogue.settings) as stores, open_link_stores() as links:
        report = await compare_and_repair(catalogue.settings, stores, links)
    assert report.right, as_object(report)
    assert listed(Report([StoreReport("all", found=list(report.repaired))])) == {
        ("elasticsearch", "product", "p-1", "broken_links"),
        ("pgvector", "product", "p-2", "broken_links"),
        ("link", "product", "p-3", "broken_links"),
    }


async def check_the_worker_finds_an_emptied_index(catalogue: Catalogue) -> None:
    settings = catalogue.settings_of("elasticsearch")
    own = VerifySettings(kafka=settings.kafka, topic_prefix=settings.topic_prefix, model=settings.model)
    own = own.model_copy(update={"verify": VerifyOptions(cycle=1, slice=8), "namespace": settings.namespace})
    watching = application(own)
    async with open_damages(catalogue) as damages, watching.router.lifespan_context(watching):
        await eventually(lambda: is_shown(watching, 0), within=60)
        for n in range(1, 20):
            await damages.of["qdrant"]["missing"](f"p-{n}", 5)
        await eventually(lambda: is_shown(watching, 19), within=60)
    async with open_compared(catalogue.settings) as stores:
        assert (await compare_and_repair(catalogue.settings, stores)).right


async def check_old_tombstones_are_removed(catalogue: Catalogue) -> None:
    async with open_compared(catalogue.settings) as stores:
        assert await shortest_age(catalogue.settings) == 14
        assert [one.removed for one in await purge(stores, 1)] == [0, 0, 0]
        assert {one.store: one.removed for one in await purge(stores, -1)} == {
            "elasticsearch": 1, "pgvector": 1, "qdrant": 1
        }  # fmt: skip
        report = await compare(catalogue.settings, stores)
    assert listed(report) == {(store, "product", "p-0", "missing") for store in ("elasticsearch", "pgvector", "qdrant")}


async def is_shown(application: Any, missing: int) -> bool:
    """Whether the metrics show so many missing entities in Qdrant."""
    return await most(application, "headrace_verify_differences", store="qdrant", difference="missing") == missing
