"""An edited letter is a new change with its own version, passes all stages, and is never a replay."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from harness.installation import Installation, in_memory, open_installation, prepared
from harness.live_workers import running
from harness.memory import MemoryStage
from harness.records import eventually, publish, read_all
from harness.servers import Servers
from harness.sinks import Sink, sink_records

from headrace_cli.dead.edit_lines import exported
from headrace_cli.dead.edits import Edit, Refused, Unchanged, edits, publish_edits
from headrace_letters.selection import Selection
from headrace_schemas import headers
from headrace_worker.worker import load_worker

pytestmark = pytest.mark.servers

NAME = "elasticsearch"
STORES = ("elasticsearch", "pgvector", "qdrant")


@pytest.fixture
async def installation(servers: Servers) -> AsyncIterator[Installation]:
    servers.need("elasticsearch", "qdrant", "postgres")
    async with open_installation(servers, NAME) as opened:
        for name in STORES:
            worker = load_worker(name)
            await (await prepared(worker, opened.settings_of(worker))).close()
        yield opened


async def failed(installation: Installation, *values: dict[str, Any] | bytes) -> list[dict[str, Any]]:
    """Makes letters with these values and returns their exported lines."""
    worker = load_worker(NAME)
    settings = installation.settings_of(worker)
    settings.breaker.allow_rejects = True
    before = len(await installation.letters(NAME))
    await publish(settings, settings.topics.source("product"), values)
    async with running(in_memory(worker, MemoryStage()), settings):
        await eventually(lambda: _has_letters(installation, before + len(values)))
    await installation.indexed()
    return [line async for line in exported(installation.index, installation.reader, Selection())]


async def _has_letters(installation: Installation, count: int) -> bool:
    return len(await installation.letters(NAME)) == count


async def put(installation: Installation, name: str, op: str, id: str, version: int) -> None:
    """Writes directly to one store."""
    worker = load_worker(name)
    sink = Sink(worker, installation.settings_of(worker), sink_records(name))
    async with sink.stage() as stage:
        await stage.apply([getattr(sink, op)("product", id, version)])


def bad(id: str, version: int = 7, **fields: Any) -> dict[str, Any]:
    """A change whose time is invalid."""
    return {"op": "upsert", "product_id": id, "version": version, "title": f"Lamp {id}", "occurred_at": "late"} | fields


async def read(installation: Installation, *lines: dict[str, Any], version: int | None = None) -> list[Any]:
    through_a_file = [json.loads(json.dumps(line, default=str)) for line in lines]
    return await edits(through_a_file, installation.index, installation.stores, installation.settings, version=version)


async def test_an_edit_gets_the_smallest_version_above_all_stored_versions(installation: Installation) -> None:
    id = f"{installation.prefix}edited"
    for name, version in zip(STORES, (3, 5, 4), strict=True):
        await put(installation, name, "upsert", id, version)
    (line,) = await failed(installation, bad(id))
    line["value"]["title"] = "Lamp, corrected"
    (edit,) = await read(installation, line)
    assert isinstance(edit, Edit)
    assert edit.version == 6
    await publish_edits([edit], installation.index, installation.settings, actor="on-call", reason="wrong time")
    *_, record = await read_all(installation.settings, installation.settings.topics.source("product"))
    assert record.key == id.encode()
    change = json.loads(record.value)
    assert (change["version"], change["title"]) == (6, "Lamp, corrected")
    sent_headers = dict(record.headers)
    assert sent_headers[headers.EDITED_FROM].decode() == line["dead_id"]
    assert sent_headers[headers.SCHEMA] == b"product-change/1"
    assert headers.REPLAY_OF not in sent_headers
    assert await installation.replays(NAME) == []
    (letter,) = await installation.indexed(Selection())
    assert (letter.status, letter.superseded_by) == ("superseded", 6)
    (row,) = await installation.index.audit()
    assert (row.actor, row.name, row.reason, row.count) == ("on-call", "import", "wrong time", 1)


async def test_a_deleted_entity_is_created_again_only_with_a_given_version(installation: Installation) -> None:
    id = f"{installation.prefix}deleted"
    await put(installation, "qdrant", "upsert", id, 3)
    await put(installation, "elasticsearch", "delete", id, 9)
    (line,) = await failed(installation, bad(id))
    line["value"]["title"] = "Lamp, corrected"
    (refused,) = await read(installation, line)
    assert isinstance(refused, Refused)
    assert "deleted by version 9" in refused.why
    (too_low,) = await read(installation, line | {"new_version": 9})
    assert isinstance(too_low, Refused)
    (given,) = await read(installation, line, version=12)
    assert isinstance(given, Edit)
    assert given.version == 12


async def test_unedited_lines_are_skipped_and_invalid_changes_are_refused(installation: Installation) -> None:
    lines = await failed(installation, bad(f"{installation.prefix}a"), b"\xff\xfe broken")
    for line in lines:
        assert isinstance((await read(installation, line))[0], Unchanged)
    (by_id,) = [line for line in lines if line["value"] is not None]
    (broken,) = [line for line in lines if line["value"] is None]
    assert broken["value_base64"] == "//4gYnJva2Vu"
    results = await read(
        installation,
        by_id | {"value": by_id["value"] | {"title": ""}},
        by_id | {"value": "text"},
        by_id | {"value": {"title": "no id"}},
        by_id | {"value": by_id["value"] | {"price": 1}, "new_version": 0},
        by_id | {"dead_id": "unknown"},
        broken | {"value": {"product_id": f"{installation.prefix}b", "title": "Lamp"}},
    )
    assert [type(result) for result in results] == [Refused] * 5 + [Edit]
    assert results[5].version == 1


async def test_two_edits_of_one_entity_get_versions_of_their_own(installation: Installation) -> None:
    id = f"{installation.prefix}twice"
    lines = await failed(installation, bad(id, 7), bad(id, 8))
    results = await read(installation, *(line | {"value": line["value"] | {"price": 2.0}} for line in lines))
    assert [result.version for result in results] == [1, 2]


async def test_a_superseded_letter_cannot_be_imported(installation: Installation) -> None:
    (line,) = await failed(installation, bad(f"{installation.prefix}done"))
    edited = line | {"value": line["value"] | {"price": 2.0}}
    (edit,) = await read(installation, edited)
    await publish_edits([edit], installation.index, installation.settings, actor="on-call")
    (again,) = await read(installation, edited)
    assert again == Refused(line["dead_id"], "the letter is superseded")
