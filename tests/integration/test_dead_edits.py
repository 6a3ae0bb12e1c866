"""An edited letter is a new change for all workers, with the version of the change that it corrects."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from aiokafka.admin.records_to_delete import RecordsToDelete
from harness.installation import Installation, in_memory, open_installation, prepared
from harness.live_workers import running
from harness.otlp_receiver import otlp_receiver
from harness.records import eventually, product, publish, read_all
from harness.servers import Servers
from harness.sinks import Sink, sink_records

from headrace_cli.dead.edit_lines import exported
from headrace_cli.dead.edits import Edit, Refused, Unchanged, edits, publish_edits
from headrace_clients.consumer_groups import open_clients
from headrace_clients.topic_reader import partitions_of
from headrace_letters.actions import Action
from headrace_letters.index import LetterIndex
from headrace_letters.selection import Selection
from headrace_schemas import headers
from headrace_worker.settings import TelemetrySettings
from headrace_worker.stage import Applied, Output
from headrace_worker.worker import load_worker

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]

STORES = ("elasticsearch", "pgvector", "qdrant")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(servers: Servers) -> AsyncIterator[Installation]:
    """Every worker, on its real store."""
    async with open_installation(servers, "embed", *STORES) as opened:
        opened.variables = {"BREAKER__ALLOW_REJECTS": "true"}
        workers = [in_memory(load_worker("embed"), Embedding(opened)), *map(load_worker, STORES)]
        # Importing a worker blocks the event loop: do it before any of them talks to Kafka.
        for worker in workers:
            if worker.store is not None:
                await (await prepared(worker, opened.settings_of(worker))).close()
        started, stopping = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            async with AsyncExitStack() as stack:
                for worker in workers:
                    await stack.enter_async_context(running(worker, opened.settings_of(worker)))
                started.set()
                await stopping.wait()

        # The fixture ends in another task than it begins in, and a worker must end in its own.
        working = asyncio.create_task(work())
        await asyncio.wait({working, waiting := asyncio.create_task(started.wait())}, return_when="FIRST_COMPLETED")
        waiting.cancel()
        if not working.done():
            yield opened
        stopping.set()
        await working


class Embedding:
    """The stage of embed without a model: a vector follows from the title alone."""

    def __init__(self, installation: Installation) -> None:
        worker = load_worker("qdrant")
        self._sink = Sink(worker, installation.settings_of(worker), sink_records("qdrant"))

    async def apply(self, changes: Sequence[Any]) -> list[Applied]:
        return [Applied((self._output(change),)) for change in changes]

    async def check(self) -> None:
        """It has no store."""

    def _output(self, change: Any) -> Output:
        sink, at = self._sink, ("product", change.id, change.version)
        record = sink.delete(*at) if change.deleted else sink.upsert(*at, change.title)
        topic = sink.settings.topics.embedded("product", sink.settings.model)
        value = record.model_dump_json(exclude_none=True).encode()
        return Output(topic, change.id.encode(), value, (headers.schema_pair(record),))


def bad(id: str, version: int = 7, **fields: Any) -> dict[str, Any]:
    """A change whose time is invalid."""
    return {"op": "upsert", "product_id": id, "version": version, "title": f"Lamp {id}", "occurred_at": "late"} | fields


async def lines_of(installation: Installation, key: str, count: int) -> list[dict[str, Any]]:
    """The exported lines of the records with this key, once the index has `count` letters of them."""
    chosen = Selection(key=key.encode())

    async def indexed() -> bool:
        return len(await installation.indexed(chosen)) == count

    await eventually(indexed, within=60)
    reading = exported(installation.index, installation.reader, installation.stores, chosen)
    return [line async for line in reading]


async def read(installation: Installation, *lines: dict[str, Any], **options: Any) -> list[Any]:
    through_a_file = [json.loads(json.dumps(line, default=str)) for line in lines]
    return await edits(through_a_file, installation.index, installation.stores, installation.settings, **options)


def corrected(line: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return line | {"value": line["value"] | {"title": "Lamp, corrected"}} | fields


async def versions(installation: Installation, id: str) -> dict[str, Any]:
    """The version of the entity in each store; negative for a tombstone."""
    stored = await installation.stores.everywhere("product", [id])
    return {name: -one[id].version if one[id].deleted else one[id].version for name, one in stored.items() if id in one}


async def reach(installation: Installation, id: str, version: int) -> None:
    """Waits until every store has this version."""

    async def reached() -> bool:
        return await versions(installation, id) == dict.fromkeys(STORES, version)

    await eventually(reached, within=60)


async def publish_products(installation: Installation, *changes: dict[str, Any]) -> None:
    await publish(installation.settings, installation.settings.topics.source("product"), changes)


async def test_an_edit_is_refused_where_a_store_has_a_newer_version_or_a_delete(installation: Installation) -> None:
    id, deleted = f"{installation.prefix}older", f"{installation.prefix}deleted"
    await publish_products(installation, product(id, 1), bad(id, 2), product(id, 3))
    await publish_products(installation, bad(deleted, 2), product(deleted, 2) | {"op": "delete"})
    await reach(installation, id, 3)
    await reach(installation, deleted, -2)
    for name, said in ((id, "version 3"), (deleted, "a delete of version 2")):
        (line,) = await lines_of(installation, name, 2)
        assert f"qdrant has {said}, and the letter has version 2" in line["edit"]
        for given in ({}, {"new_version": 9}):
            (refused,) = await read(installation, corrected(line, **given), version=12)
            assert isinstance(refused, Refused)
            assert f"elasticsearch has {said}" in refused.why
    assert await versions(installation, id) == dict.fromkeys(STORES, 3)


async def test_an_edit_takes_its_own_version_and_later_changes_of_the_catalogue_count(
    installation: Installation,
) -> None:
    id = f"{installation.prefix}own"
    trace = ("traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01")
    await publish(installation.settings, installation.settings.topics.source("product"), [bad(id, 5)], headers=[trace])
    (line,) = await lines_of(installation, id, 2)
    assert (line["new_version"], line["edit"]) == (None, "an edit takes version 5")
    twin = line | {"dead_id": line["dead_id"].replace("elasticsearch:", "embed:")}
    edit, second = await read(installation, corrected(line), corrected(twin))
    assert isinstance(edit, Edit)
    assert edit.version == 5
    assert "an earlier line is an edit of the same record" in second.why
    with otlp_receiver() as receiver:
        traced = installation.settings.model_copy(update={"telemetry": TelemetrySettings(otlp_endpoint=receiver.url)})
        await publish_edits([edit], installation.index, traced, actor="on-call", reason="wrong time")
        (span,) = receiver.of("a" * 32)
    record = [
        one
        for one in await read_all(installation.settings, installation.settings.topics.source("product"))
        if one.key == id.encode()
    ][-1]
    sent = dict(record.headers)
    assert (json.loads(record.value).get("title"), sent.get(headers.SCHEMA)) == ("Lamp, corrected", b"product-change/1")
    assert sent[headers.EDITED_FROM].decode() == line["dead_id"]
    assert headers.REPLAY_OF not in sent
    # The edit continues the trace of its letter with a span of its own.
    assert (span.name, span.parent) == (f"edit {record.topic}", "b" * 16)
    assert sent["traceparent"].decode() == f"00-{'a' * 32}-{span.id}-01"
    await reach(installation, id, 5)
    letters = await installation.indexed(Selection(key=id.encode()))
    assert [(one.letter.worker, one.status, one.superseded_by) for one in letters] == [
        ("elasticsearch", "superseded", 5), ("embed", "superseded", 5)
    ]  # fmt: skip
    assert (await read(installation, corrected(line)))[0] == Refused(line["dead_id"], "the letter is superseded")
    await publish_products(installation, product(id, 3), product(id, 6))
    await reach(installation, id, 6)


async def test_an_edit_of_a_version_that_is_stored_needs_another_version(installation: Installation) -> None:
    id = f"{installation.prefix}equal"
    worker = load_worker("qdrant")
    sink = Sink(worker, installation.settings_of(worker), sink_records("qdrant"))
    async with sink.stage() as stage:
        await stage.apply([sink.upsert("product", id, 7)])
    await publish_products(installation, bad(id, 7))
    (line,) = await lines_of(installation, id, 2)
    assert "needs a version: qdrant has version 7" in line["edit"]
    assert "the catalogue's own record of that number would then be a conflict" in line["edit"]
    results = await read(installation, corrected(line), corrected(line, new_version=7))
    assert [type(one) for one in results] == [Refused, Refused]
    (edit,) = await read(installation, corrected(line), version=8)
    assert (edit.version, edit.note) == (8, "the catalogue's own version 8 would then be a conflict")
    assert (await read(installation, corrected(line, new_version=9), version=8))[0].version == 9


async def test_text_that_is_not_json_can_be_corrected(installation: Installation) -> None:
    id, source = f"{installation.prefix}text", installation.settings.topics.source("product")
    broken = f'{{"product_id": "{id}", "title": "Lämp", "version": 4, }}'
    await publish(installation.settings, source, [broken.encode(), b"\xff\xfe broken"])
    text, binary = sorted(await lines_of(installation, "raw", 4), key=lambda line: "value_base64" in line)
    assert (text["value"], text["value_text"]) == (None, broken)
    assert binary["value_base64"] == "//4gYnJva2Vu"
    whole = text | {"value_text": broken.replace(", }", "}")}
    unversioned = text | {"value_text": whole["value_text"].replace('"version": 4', '"price": 4')}
    results = await read(
        installation, text, binary, text | {"value_text": broken + "}"}, unversioned, whole,
        binary | {"value": {"product_id": f"{id}b", "title": "Lamp"}, "new_version": 2},
    )  # fmt: skip
    assert [type(one) for one in results] == [Unchanged, Unchanged, Refused, Refused, Edit, Edit]
    assert "the letter has no readable version: give one" in results[3].why
    assert [one.version for one in results[4:]] == [4, 2]
    assert json.loads(results[4].record.value)["title"] == "Lämp"


async def test_invalid_edits_are_refused_and_edits_of_one_entity_keep_their_order(installation: Installation) -> None:
    id = f"{installation.prefix}twice"
    await publish_products(installation, bad(id, 7), bad(id, 8))
    seven, eight = sorted(await lines_of(installation, id, 4), key=lambda line: line["version"])
    results = await read(
        installation,
        seven,
        seven | {"value": seven["value"] | {"title": ""}},
        seven | {"value": "text"},
        seven | {"value": {"title": "no id"}},
        corrected(seven, new_version=0),
        corrected(seven, dead_id="unknown"),
        corrected(seven, dead_id="unknown\0"),
    )
    assert [type(result) for result in results] == [Unchanged] + [Refused] * 6
    assert [one.version for one in await read(installation, corrected(seven), corrected(eight))] == [7, 8]
    last, first = await read(installation, corrected(eight), corrected(seven))
    assert (last.version, type(first)) == (8, Refused)
    assert "version 7 is not above 8, which an earlier line takes" in first.why


async def test_an_edit_waits_until_every_worker_has_answered_for_its_record(
    servers: Servers, installation: Installation
) -> None:
    async with open_installation(servers, "embed", *STORES) as other:
        id = f"{other.prefix}unread"
        await publish_products(other, bad(id, 5))
        worker = load_worker("elasticsearch")
        async with running(worker, other.settings_of(worker)):
            (line,) = await lines_of(other, id, 1)

            async def decided(within: float = 0.0) -> Any:
                return (await read(other, corrected(line), answer_within=within))[0]

            await eventually(lambda: _says(decided, "embed has 1 record of"), within=30)
            await other.read_by("embed")
            topic = other.settings.topics.embedded("product", other.settings.model)
            await publish(other.settings, topic, [b"embedded"])
            assert isinstance(await decided(), Refused)
            await other.read_by("qdrant")
            assert await _says(decided, "pgvector has 1 record of")
            await other.read_by("pgvector")
            assert (await decided(within=10)).version == 5
        # A replay that has had no answer for long counts as waiting, and may be read after the edit.
        (found,) = (await other.index.get([line["dead_id"]])).values()
        number = await other.index.begin(Action("on-call", "replay", Selection(ids=(found.letter.id,))))
        await other.index.mark_replaying(number, [found.letter])
        await publish(other.settings, other.settings.topics.replay("elasticsearch"), [b"replay"])
        other.index = LetterIndex(
            other.settings.postgres, other.settings.names.schema, replaying_for=timedelta(microseconds=1)
        )
        assert await _says(decided, f"elasticsearch has 1 record of {other.settings.topics.replay('elasticsearch')}")
        await other.read_by("elasticsearch")
        assert (await decided(within=10)).version == 5
        await other.index.close()


async def _says(decided: Any, what: str) -> bool:
    result = await decided()
    return isinstance(result, Refused) and what in result.why


async def test_an_export_takes_the_letter_of_another_worker_if_the_record_of_the_first_is_gone(
    installation: Installation,
) -> None:
    id, settings = f"{installation.prefix}gone", installation.settings
    await publish_products(installation, bad(id))
    assert [line["worker"] for line in await lines_of(installation, id, 2)] == ["elasticsearch"]
    async with open_clients(settings.kafka) as (consumer, admin):
        parts = await partitions_of(settings.kafka, [settings.topics.dead("elasticsearch")])
        ends = await consumer.end_offsets(parts)
        await admin.delete_records({part: RecordsToDelete(before_offset=end) for part, end in ends.items()})
    assert [line["worker"] for line in await lines_of(installation, id, 2)] == ["embed"]
