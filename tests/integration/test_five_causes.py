"""Thousands of dead letters of five causes: five groups, a preview, a replay after the repair, and no letter left.

The causes are real: an index whose mapping lacks a field, a catalogue of a newer schema than its workers, a collection
made for vectors of another dimension, ids that are too long, truncated records. Every error message contains values.
"""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import pytest
from elasticsearch import AsyncElasticsearch
from harness.forked_command import headrace
from harness.installation import Installation, open_installation, prepared
from harness.letters import set_aside
from harness.live_workers import running
from harness.records import eventually
from harness.servers import Servers
from harness.sinks import Sink, sink_records

from headrace_cli.dead.edit_lines import exported
from headrace_cli.dead.edits import Edit, edits, publish_edits
from headrace_cli.kafka_topics import apply_topics
from headrace_clients.qdrant import collection_of, connect
from headrace_demo.entity_comparison import compare_entities
from headrace_demo.receipt_totals import read_totals
from headrace_elasticsearch.indices import indices
from headrace_elasticsearch.preparation import SETTINGS
from headrace_expected.entities import Position, fold
from headrace_letters.actions import Action
from headrace_letters.replay_progress import ReplayOptions
from headrace_letters.selection import Selection
from headrace_runtime.publisher import Outgoing, Publisher
from headrace_schemas.changes import ProductChange
from headrace_schemas.topics import SOURCE_NAMES
from headrace_schemas.upcasts import UPCASTS
from headrace_worker.worker import load_worker

pytestmark = pytest.mark.servers

DIMENSION = 4
PART = 2000
OPTIONS = ReplayOptions(canary=20, answer_within=120.0)
SUPERSEDED_OF, DELETED_OF = 10, 20
"""Before the replay, every tenth entity of the mapping cause gets a newer change; every twentieth is deleted."""


class FiveCauses:
    """Two sinks on real servers, the published records, and the expected content of each store."""

    def __init__(self, installation: Installation, each: int) -> None:
        self.installation = installation
        self.each = each
        self.run = uuid.uuid4().hex[:6]
        self.model = f"m{self.run}"
        installation.variables = {
            "MODEL": self.model, "DIMENSION": str(DIMENSION), "BREAKER__ALLOW_REJECTS": "true"
        }  # fmt: skip
        self.elasticsearch = load_worker("elasticsearch")
        self.qdrant = load_worker("qdrant")
        self.of_elasticsearch = installation.settings_of(self.elasticsearch)
        self.of_qdrant = installation.settings_of(self.qdrant)
        self.vectors = Sink(self.qdrant, self.of_qdrant, sink_records("qdrant"))
        self.documents: list[ProductChange] = []
        self.points: list[ProductChange] = []
        self.published = {"elasticsearch": 0, "qdrant": 0}
        self.publisher = Publisher(installation.settings.kafka)

    async def send(self, worker: str, records: Sequence[Outgoing]) -> None:
        """Publishes records to the worker's topics."""
        for start in range(0, len(records), PART):
            await self.publisher.publish(records[start : start + PART])
        self.published[worker] += len(records)

    def product(self, id: str, version: int, *, op: str = "upsert", major: int = 1, **fields: Any) -> Outgoing:
        """Makes a change for Elasticsearch and adds it to the expected content."""
        record: dict[str, Any] = {"op": op, "product_id": id, "version": version, "occurred_at": NOW}
        if op == "upsert":
            record |= {"title": f"Lamp {id[-40:]}", "price": float(len(id) % 97)} | fields
        if len(id.encode()) <= 512:
            self.documents.append(ProductChange.model_validate(record))
        schema = ("headrace-schema", f"product-change/{major}".encode())
        return Outgoing(self.source, id.encode(), json.dumps(record).encode(), [schema])

    @property
    def source(self) -> str:
        return self.installation.settings.topics.source("product")

    def names(self, cause: str) -> list[str]:
        return [f"{self.run}-{cause}-{number}" for number in range(self.each)]

    async def publish_all(self) -> None:
        """Publishes the records of all five causes."""
        records = [self.product(id, 3, locale=f"de-{number}") for number, id in enumerate(self.names("mapping"))]
        records += [self.product(id, 3, major=2) for id in self.names("schema")]
        records += [self.product(id + "x" * (513 + number % 90), 3) for number, id in enumerate(self.names("long"))]
        records += [self.truncated(id, number) for number, id in enumerate(self.names("cut"))]
        await self.send("elasticsearch", records)
        topic = self.installation.settings.topics.embedded("product", self.model)
        embedded = []
        for id in self.names("dimension"):
            change = self.vectors.upsert("product", id, 3)
            self.points.append(change)
            embedded.append(Outgoing(topic, id.encode(), change.model_dump_json(exclude_none=True).encode()))
        await self.send("qdrant", embedded)

    def truncated(self, id: str, number: int) -> Outgoing:
        whole = json.dumps({"op": "upsert", "product_id": id, "version": 3, "title": f"Lamp {number}"}).encode()
        return Outgoing(self.source, id.encode(), whole[: len(whole) - 2 - number % 30])

    async def publish_newer(self) -> None:
        """Changes or deletes some of the failed entities before the replay."""
        newer = [
            self.product(id, 9, op="delete") if number % DELETED_OF == 0 else self.product(id, 7)
            for number, id in enumerate(self.names("mapping"))
            if number % SUPERSEDED_OF == 0
        ]
        await self.send("elasticsearch", newer)

    async def settled(self, **replays: int) -> None:
        """Waits until both workers have reported everything."""
        wanted = {worker: records + replays.get(worker, 0) for worker, records in self.published.items()}
        await eventually(lambda: self._have_settled(wanted), within=900)

    async def _have_settled(self, wanted: dict[str, int]) -> bool:
        totals = await read_totals(self.installation.settings)
        return all(totals.of(worker).consumed >= records for worker, records in wanted.items())

    async def differences(self) -> list[Any]:
        """Returns where a store differs from its expected content. Both stores contain only entities of this test."""
        found = []
        for worker, settings, changes, model in (
            (self.elasticsearch, self.of_elasticsearch, self.documents, None),
            (self.qdrant, self.of_qdrant, self.points, self.model),
        ):
            assert worker.store is not None
            store = worker.store(settings)
            await store.refresh()
            expected = fold(((change, Position(0, offset)) for offset, change in enumerate(changes)), {})
            found += (await compare_entities(store.scan("product"), "product", expected, model=model)).differences
            await store.close()
        return found


NOW = datetime.now(UTC).isoformat()


@pytest.fixture
async def installation(servers: Servers) -> AsyncIterator[Installation]:
    servers.need("elasticsearch", "qdrant")
    async with open_installation(servers, "elasticsearch", "qdrant") as opened:
        yield opened


@pytest.mark.parametrize(
    "each", [300, pytest.param(20_000, marks=[pytest.mark.long, pytest.mark.timeout(3600)])], ids=lambda each: 5 * each
)
async def test_letters_of_five_causes_are_five_groups_and_are_cleared(
    installation: Installation, each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    causes = FiveCauses(installation, each)
    await apply_topics(causes.of_qdrant, ["elasticsearch", "qdrant"])
    pgvector = load_worker("pgvector")
    await (await prepared(pgvector, installation.settings_of(pgvector))).close()
    await create_index_without_locale(causes)
    await create_collection_of_another_dimension(causes)
    try:
        await causes.publish_all()
        async with both_running(causes):
            await causes.settled()
        await installation.indexed(Selection(ids=()))

        groups = {group["reason"]: group for group in await printed(installation, "groups")}
        assert {reason: group["count"] for reason, group in groups.items()} == {
            "refused_by_store": each, "unknown_schema": each, "wrong_vector": each, "invalid": each, "not_json": each,
        }  # fmt: skip
        assert len({group["fingerprint"] for group in groups.values()}) == 5
        assert len(groups) == 5
        await repair_causes(causes, monkeypatch)

        cause = {reason: Selection(fingerprint=group["fingerprint"]) for reason, group in groups.items()}
        async with both_running(causes):
            await causes.publish_newer()
            await causes.settled()
            newer = -(-each // SUPERSEDED_OF)
            gone = -(-each // DELETED_OF)
            wanted = {
                "refused_by_store": {"apply": each - newer, "superseded": newer - gone, "deleted": gone},
                "unknown_schema": {"apply": each},
                "wrong_vector": {"apply": each},
                "invalid": {"undecodable": each},
                "not_json": {"undecodable": each},
            }
            for reason, counts in wanted.items():
                ahead = await installation.previewed(cause[reason])
                assert {outcome: count for outcome, count in ahead.counts.items() if count} == counts
            for reason in ("refused_by_store", "unknown_schema", "wrong_vector"):
                began = time.monotonic()
                done = await installation.replayed(cause[reason], OPTIONS)
                print(f"{done.published / (time.monotonic() - began):,.0f} {reason} letters a second")
                assert (done.state, done.published, done.failed) == ("done", each, 0)
                assert done.resolved == wanted[reason]["apply"]
            edited = await publish_shortened(causes, cause["invalid"])
            await publish_whole(causes, cause["not_json"])
            await causes.settled(elasticsearch=2 * each + edited, qdrant=each)
        assert await causes.differences() == []
        await installation.indexed(Selection(ids=()))
        left = await installation.index.count(Selection())
        assert left == {
            "resolved": 3 * each - newer, "superseded": newer + each, "discarded": each,
        }  # fmt: skip
    finally:
        await causes.publisher.close()
        await (await prepared(causes.elasticsearch, causes.of_elasticsearch)).close()


def both_running(causes: FiveCauses) -> AsyncExitStack:
    return _Both(causes)


class _Both(AsyncExitStack):
    """Runs both workers while the block runs."""

    def __init__(self, causes: FiveCauses) -> None:
        super().__init__()
        self._causes = causes

    async def __aenter__(self) -> "_Both":
        await super().__aenter__()
        await self.enter_async_context(running(self._causes.elasticsearch, self._causes.of_elasticsearch))
        await self.enter_async_context(running(self._causes.qdrant, self._causes.of_qdrant))
        return self


async def create_index_without_locale(causes: FiveCauses) -> None:
    """Makes the index as an older release did."""
    store = await prepared(causes.elasticsearch, causes.of_elasticsearch)
    await store.close()
    index = indices(causes.of_elasticsearch.names)["product"]
    older = {name: field for name, field in index.mapping["properties"].items() if name != "locale"}
    async with AsyncElasticsearch(causes.of_elasticsearch.elasticsearch.url) as client:
        behind = (await client.indices.get_alias(name=index.alias)).body
        await client.indices.delete(index=list(behind))
        mappings = {"dynamic": "strict", "properties": older}
        aliases = {index.alias: index.alias_settings}
        await client.indices.create(index=index.physical, aliases=aliases, mappings=mappings, settings=SETTINGS)


async def create_collection_of_another_dimension(causes: FiveCauses) -> None:
    """Makes the collection with a wrong setting."""
    wrong = causes.of_qdrant.model_copy(update={"dimension": 2 * DIMENSION})
    await (await prepared(causes.qdrant, wrong)).close()


async def repair_causes(causes: FiveCauses, monkeypatch: pytest.MonkeyPatch) -> None:
    """Repairs the causes as an operator does: applies the stores, makes the collection again, deploys newer workers."""
    await (await prepared(causes.elasticsearch, causes.of_elasticsearch)).close()
    client = connect(causes.of_qdrant.qdrant)
    for kind in SOURCE_NAMES:
        await client.delete_collection(collection_of(kind, causes.of_qdrant.names))
    await client.close()
    await (await prepared(causes.qdrant, causes.of_qdrant)).close()
    monkeypatch.setattr(ProductChange, "schema_major", 2)
    for name in ("product-change", "embedded-product"):
        monkeypatch.setitem(UPCASTS, (name, 1), dict)


async def publish_shortened(causes: FiveCauses, selection: Selection) -> int:
    """Edits the letters with long ids: cuts each id and publishes a new change. Returns their number."""
    installation, count = causes.installation, 0
    lines = [line async for line in exported(installation.index, installation.reader, installation.stores, selection)]
    await installation.read_by("embed", "pgvector")
    for part in parts(lines):
        for line in part:
            value = line["value"]
            value["product_id"] = value["product_id"].rstrip("x")
            causes.documents.append(ProductChange.model_validate(value | {"version": line["version"]}))
        results = await edits(part, installation.index, installation.stores, installation.settings)
        chosen = [one for one in results if isinstance(one, Edit)]
        assert len(chosen) == len(part), results[:3]
        await publish_edits(chosen, installation.index, installation.settings, actor="on-call", reason="ids cut")
        count += len(chosen)
    return count


async def publish_whole(causes: FiveCauses, selection: Selection) -> None:
    """Publishes the whole records in place of the truncated ones, and discards their letters."""
    await causes.send("elasticsearch", [causes.product(id, 4, major=2) for id in causes.names("cut")])
    action = Action("on-call", "discard", selection, "the catalogue has sent them again")
    assert await set_aside(causes.installation.index, action) == causes.each


def parts(lines: list[Any]) -> Iterator[list[Any]]:
    remaining = iter(lines)
    while part := list(islice(remaining, 500)):
        yield part


async def printed(installation: Installation, *arguments: str) -> Any:
    """Returns the JSON that `headrace dead … --json` prints."""
    done = await asyncio.to_thread(headrace, "dead", *arguments, "--json", environment=installation.environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
