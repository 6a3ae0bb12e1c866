"""A replay never makes a store older, and has the predicted outcome: every sink on its real server, and embed."""

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest
from harness.installation import WAITING, Installation, Switch, faulty, open_installation, prepared
from harness.link_sinks import link_set, link_sink_names, tombstone
from harness.live_workers import running
from harness.records import eventually, read_all, receipts
from harness.servers import Servers
from harness.sinks import Sink, outcomes_of, sink_records

from headrace_letters.letter_rows import IndexedLetter
from headrace_letters.prediction import Outcome
from headrace_letters.selection import Selection
from headrace_runtime.publisher import Outgoing, Publisher
from headrace_schemas.changes import ID_FIELDS
from headrace_worker.stage import Applied
from headrace_worker.worker import load_worker

pytestmark = pytest.mark.servers

SINKS = ("elasticsearch", "pgvector", "qdrant")
FAILED = 5
"""The version of every change that becomes a dead letter."""

Step = tuple[str, int]
CASES: Mapping[str, tuple[Sequence[Step], Sequence[Step], Outcome]] = {
    # the changes before the failure, the changes after it, and the outcome of a replay
    "nothing": ((), (), "apply"),
    "older": ((("upsert", 3),), (), "apply"),
    "older-delete": ((("delete", 3),), (), "apply"),
    "newer": ((("upsert", 3),), (("upsert", 8),), "superseded"),
    "deleted": ((("upsert", 3),), (("delete", 8),), "deleted"),
    "re-created": ((("upsert", 3),), (("delete", 6), ("upsert", 8)), "superseded"),
    "applied-already": ((("upsert", 3),), (("upsert", 5),), "applied_already"),
}
TAKEN = {"taken": ((("upsert", 3),), (("delete", FAILED),), "deleted")}
"""The catalogue gave the version of the failed change to another change. Link sets have no such conflicts."""
ENTITY_CASES = {**CASES, **TAKEN}


@pytest.fixture(params=SINKS)
async def sink(request: pytest.FixtureRequest, servers: Servers) -> AsyncIterator["SinkUnderReplay"]:
    async with open_installation(servers, request.param) as installation:
        opened = SinkUnderReplay(installation, request.param)
        await opened.open()
        yield opened
        await opened.close()


class SinkUnderReplay:
    """One sink whose deploy is bad: it rejects version 5 of everything until `switch.broken` is False."""

    def __init__(self, installation: Installation, name: str) -> None:
        self.installation = installation
        self.name = name
        worker = load_worker(name)
        self.sink = Sink(worker, installation.settings_of(worker), sink_records(name))
        self.switch = Switch(lambda change: change.version == FAILED)
        self.worker = faulty(worker, self.switch)
        self.run = uuid.uuid4().hex[:8]
        self.published = 0
        self.newest: dict[str, Any] = {}
        self.publisher = Publisher(installation.settings.kafka)

    async def open(self) -> None:
        self.store = await prepared(self.sink.worker, self.sink.settings)

    async def close(self) -> None:
        await self.publisher.close()
        await self.store.close()

    def id(self, case: str) -> str:
        return f"{self.run}-{case}"

    async def publish(self, steps: Sequence[tuple[str, str, int]]) -> None:
        """Publishes (id, op, version) as live changes. `newest` has the newest of each id."""
        inputs = self.sink.worker.inputs(self.sink.settings)
        topic = next(topic for topic, record in inputs.items() if record is self.sink.records["product"])
        records = []
        for id, op, version in steps:
            change = getattr(self.sink, op)("product", id, version)
            if id not in self.newest or version >= self.newest[id].version:
                self.newest[id] = change
            value = change.model_dump_json(exclude_none=True).encode()
            records.append(Outgoing(topic, id.encode(), value))
        await self.publisher.publish(records)
        self.published += len(records)

    async def settled(self, replays: int = 0) -> None:
        await self.installation.answered(self.name, self.published + replays)

    async def differences(self) -> list[str]:
        """Describes where the store differs from the newest of all published changes."""
        stored = await self.store.get("product", list(self.newest))
        wanted = {id: self.sink.stored(change) for id, change in self.newest.items()}
        return [f"{id}: {stored.get(id)} is not {wanted[id]}" for id in wanted if stored.get(id) != wanted[id]]

    async def fail_all(self, cases: Mapping[str, Any] = ENTITY_CASES) -> list[IndexedLetter]:
        """Makes a dead letter of version 5 for each case, between the changes that the case names."""
        await self.publish([(self.id(case), *step) for case, (before, _, _) in cases.items() for step in before])
        await self.settled()
        await self.publish([(self.id(case), "upsert", FAILED) for case in cases])
        await self.settled()
        letters = await self.installation.indexed()
        assert len(letters) == len(cases)
        self.switch.broken = False
        await self.publish([(self.id(case), *step) for case, (_, after, _) in cases.items() for step in after])
        await self.settled()
        return letters


async def test_a_replay_has_the_predicted_outcomes_and_leaves_the_newest_changes(sink: SinkUnderReplay) -> None:
    async with running(sink.worker, sink.sink.settings):
        letters = await sink.fail_all()
        wanted = {sink.id(case): outcome for case, (_, _, outcome) in ENTITY_CASES.items()}
        by_id = {one.letter.id: str(one.letter.entity_id) for one in letters}
        predicted = {by_id[id]: outcome for id, outcome in (await sink.installation.predicted(letters)).items()}
        assert predicted == wanted
        ahead = await sink.installation.previewed()
        assert dict(ahead.superseded_by) == {8: 3, FAILED: 1}

        progress = await sink.installation.replayed()
        happened = {by_id[id]: one.outcome for id, one in (await sink.installation.answers(sink.name)).items()}
    receipts_of = {id: receipt_of(outcome) for id, outcome in predicted.items()}
    assert happened == receipts_of | {sink.id("taken"): "conflict"}
    assert (progress.resolved, progress.superseded, progress.failed) == (4, 4, 0)
    assert await sink.differences() == []
    assert await sink.installation.indexed() == []


async def test_replaying_twice_changes_nothing(sink: SinkUnderReplay) -> None:
    async with running(sink.worker, sink.sink.settings):
        letters = await sink.fail_all()
        await sink.installation.replayed()
        before = await sink.store.get("product", list(sink.newest))
        sent = await sink.installation.replays(sink.name)
        again = [Outgoing(one.topic, one.key, one.value, one.headers) for one in sent]
        await sink.publisher.publish(again)
        await sink.settled(replays=2 * len(letters))
    assert await sink.store.get("product", list(sink.newest)) == before
    assert await sink.differences() == []


async def test_a_replay_during_the_live_stream_leaves_the_newest_changes(sink: SinkUnderReplay) -> None:
    names = [f"live-{number}" for number in range(60)]
    async with running(sink.worker, sink.sink.settings):
        await sink.fail_all(dict.fromkeys(names, ((("upsert", 3),), (), "apply")))
        replaying = asyncio.create_task(sink.installation.replayed())
        await live_stream(sink, names, until=replaying)
        progress = await replaying
        await sink.settled(replays=60)
    assert progress.failed == 0
    assert await sink.differences() == []
    assert await sink.installation.indexed() == []


async def live_stream(sink: SinkUnderReplay, names: Sequence[str], until: "asyncio.Task[Any]") -> None:
    """Older, newer and deleting changes, in mixed order, until the replay has ended."""
    for round, version in enumerate(itertools.chain((4, 9, 6, 7), itertools.count(10)), start=1):
        for number, name in enumerate(names):
            op = "delete" if (number + version) % 5 == 0 else "upsert"
            await sink.publish([(sink.id(name), op, version)])
        if round >= 4 and until.done():
            return


async def test_the_newer_of_two_letters_of_one_entity_is_applied_as_predicted(
    sink: SinkUnderReplay,
) -> None:
    sink.switch.affects = lambda change: change.version in (FAILED, 6)
    id = sink.id("twice")
    async with running(sink.worker, sink.sink.settings):
        # In separate polls, or the older one would be superseded and would not fail.
        for version in (FAILED, 6):
            await sink.publish([(id, "upsert", version)])
            await sink.settled()
        await sink.installation.indexed()
        sink.switch.broken = False
        ahead = await sink.installation.previewed()
        assert dict(ahead.counts) == {"apply": 1, "superseded": 1}
        progress = await sink.installation.replayed()
    assert (progress.resolved, progress.superseded) == (1, 1)
    assert await sink.differences() == []


def receipt_of(outcome: Outcome) -> str:
    """The outcome that a worker reports for a replay with this predicted outcome."""
    return "applied" if outcome in ("apply", "applied_already") else "superseded"


async def test_a_preview_predicts_apply_if_one_of_several_stores_would_apply(servers: Servers) -> None:
    async with open_installation(servers, "embed", "qdrant", "pgvector") as installation, AsyncExitStack() as stack:
        switch = Switch(lambda change: change.version == FAILED)
        embed, qdrant = load_worker("embed"), load_worker("qdrant")
        for worker in (qdrant, load_worker("pgvector")):
            store = await prepared(worker, installation.settings_of(worker))
            stack.push_async_callback(store.close)
        await stack.enter_async_context(running(faulty(embed, switch), installation.settings_of(embed)))
        publisher = Publisher(installation.settings.kafka)
        stack.push_async_callback(publisher.close)
        id = uuid.uuid4().hex
        source = Sink(embed, installation.settings_of(embed), sink_records("elasticsearch"))
        value = source.upsert("product", id, FAILED).model_dump_json(exclude_none=True).encode()
        await publisher.publish([Outgoing(installation.settings.topics.source("product"), id.encode(), value)])
        await installation.answered("embed", 1)
        sink = Sink(qdrant, installation.settings_of(qdrant), sink_records("qdrant"))
        async with sink.stage() as qdrant_stage:
            assert await outcomes_of(qdrant_stage, [sink.upsert("product", id, FAILED + 1)]) == [Applied()]
        letters = await installation.indexed()
        assert await installation.predicted(letters) == {letters[0].letter.id: "apply"}


async def test_the_stores_after_embed_decide_the_outcome_of_its_letters(servers: Servers) -> None:
    async with open_installation(servers, "embed", "qdrant", "pgvector") as installation, AsyncExitStack() as stack:
        switch = Switch(lambda change: change.version == FAILED)
        embed = load_worker("embed")
        stores = {}
        for name in ("qdrant", "pgvector"):
            worker = load_worker(name)
            stores[name] = await prepared(worker, installation.settings_of(worker))
            stack.push_async_callback(stores[name].close)
            await stack.enter_async_context(running(worker, installation.settings_of(worker)))
        await stack.enter_async_context(running(faulty(embed, switch), installation.settings_of(embed)))
        run = uuid.uuid4().hex[:8]
        publisher = Publisher(installation.settings.kafka)
        stack.push_async_callback(publisher.close)
        published: dict[str, int] = {}

        async def publish(steps: Sequence[tuple[str, str, int]]) -> None:
            records = []
            for case, op, version in steps:
                id = f"{run}-{case}"
                change = Sink(embed, installation.settings_of(embed), sink_records("elasticsearch"))
                record = getattr(change, op)("product", id, version)
                assert getattr(record, ID_FIELDS["product"]) == id
                value = record.model_dump_json(exclude_none=True).encode()
                records.append(Outgoing(installation.settings.topics.source("product"), id.encode(), value))
            await publisher.publish(records)
            published["records"] = published.get("records", 0) + len(records)
            await installation.answered("embed", published["records"])

        await publish([(case, *step) for case, (before, _, _) in ENTITY_CASES.items() for step in before])
        await publish([(case, "upsert", FAILED) for case in ENTITY_CASES])
        switch.broken = False
        await publish([(case, *step) for case, (_, after, _) in ENTITY_CASES.items() for step in after])
        for name in stores:
            await eventually(lambda name=name: _has_read_all(installation, name), 60)
        letters = await installation.indexed()
        predicted = await installation.predicted(letters)
        by_case = {str(one.letter.entity_id).removeprefix(f"{run}-"): predicted[one.letter.id] for one in letters}
        assert by_case == {case: outcome for case, (_, _, outcome) in ENTITY_CASES.items()}
        before = {name: await versions(store, run) for name, store in stores.items()}
        progress = await installation.replayed()
        assert progress.resolved == len(ENTITY_CASES)
        for name in stores:
            await eventually(lambda name=name: _has_read_all(installation, name), 60)
        for name, store in stores.items():
            expected = before[name] | {case: (FAILED, False) for case in ENTITY_CASES if by_case[case] == "apply"}
            assert await versions(store, run) == expected
        assert await installation.indexed(WAITING) == []
        assert {one.status for one in await installation.indexed(Selection())} == {"resolved"}


async def versions(store: Any, run: str) -> dict[str, tuple[int, bool]]:
    """Returns the stored version, and whether it is a tombstone, by case."""
    stored = await store.get("product", [f"{run}-{case}" for case in ENTITY_CASES])
    return {id.removeprefix(f"{run}-"): (one.version, one.deleted) for id, one in stored.items()}


async def _has_read_all(installation: Installation, name: str) -> bool:
    made = await read_all(
        installation.settings, installation.settings.topics.embedded("product", installation.settings.model)
    )
    return len(await receipts(installation.settings, name)) == len(made)


@pytest.mark.parametrize("name", link_sink_names(on_servers=True))
async def test_a_link_set_is_fenced_by_its_own_version_as_predicted(servers: Servers, name: str) -> None:
    async with open_installation(servers, name) as installation:
        worker, switch = load_worker(name), Switch(lambda change: change.version == FAILED)
        settings = installation.settings_of(worker)
        assert worker.links is not None
        store = worker.links(settings)
        await store.prepare()
        run, publisher = uuid.uuid4().hex[:8], Publisher(installation.settings.kafka)
        published = 0

        async def publish(steps: Sequence[tuple[str, str, int]]) -> None:
            nonlocal published
            sets = [
                link_set(f"{run}-{case}", version, ["k1", "k2"])
                if op == "upsert"
                else tombstone(f"{run}-{case}", version)
                for case, op, version in steps
            ]
            topic = settings.topics.product_links
            records = [
                Outgoing(topic, one.id.encode(), one.model_dump_json(exclude_none=True).encode()) for one in sets
            ]
            await publisher.publish(records)
            published += len(records)
            await installation.answered(name, published)

        async with running(faulty(worker, switch), settings):
            await publish([(case, *step) for case, (before, _, _) in CASES.items() for step in before])
            await publish([(case, "upsert", FAILED) for case in CASES])
            switch.broken = False
            await publish([(case, *step) for case, (_, after, _) in CASES.items() for step in after])
            letters = await installation.indexed()
            predicted = await installation.predicted(letters)
            assert {str(one.letter.entity_id): predicted[one.letter.id] for one in letters} == {
                f"{run}-{case}": outcome for case, (_, _, outcome) in CASES.items()
            }
            before = await store.links_of([f"{run}-{case}" for case in CASES])
            progress = await installation.replayed()
            after = await store.links_of([f"{run}-{case}" for case in CASES])
        assert (progress.resolved, progress.superseded, progress.failed) == (4, 3, 0)
        for case, (_, _, outcome) in CASES.items():
            id = f"{run}-{case}"
            assert after[id].version == (FAILED if outcome == "apply" else before[id].version)
        await publisher.close()
        await store.close()
