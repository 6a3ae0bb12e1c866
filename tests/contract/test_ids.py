"""Any id of 1 to 512 bytes is kept apart from every other."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from harness.sinks import Sink, settle

from headrace_schemas.fields import MAX_ID_BYTES, Kind
from headrace_worker.stage import Applied, Stage, Superseded
from headrace_worker.store import Store

NewId = Callable[[str], str]
AWKWARD = {
    "slashes": "a/b/../c//d?e=f&g#h",
    "spaces": "  two  spaces \t tab \n line ",
    "quotes": 'it\'s "quoted" \\ `back` $1 {x} %s ; -- DROP TABLE',
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈",
    "scripts": "전자레인지-電子レンジ-ميكروويف",
    "dots": "..",
    "comma": "a,b*",
    "underscore": "_all",
    "percent": "%2F%00",
}


@pytest.mark.parametrize("name", AWKWARD)
async def test_an_awkward_id_is_fenced_read_back_and_deleted(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, name: str
) -> None:
    id = AWKWARD[name] + uuid4().hex
    await check_life(sink, stage, store, kind, id)


async def test_an_id_of_512_bytes_is_fenced_read_back_and_deleted(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind
) -> None:
    ascii_id = uuid4().hex.ljust(MAX_ID_BYTES, "x")
    wide_id = (uuid4().hex + "전" * MAX_ID_BYTES).encode()[: MAX_ID_BYTES - 3].decode(errors="ignore")
    wide_id = wide_id.ljust(MAX_ID_BYTES - len(wide_id.encode()) + len(wide_id), "y")
    for id in (ascii_id, wide_id):
        assert len(id.encode()) == MAX_ID_BYTES
        await check_life(sink, stage, store, kind, id)


@pytest.mark.parametrize("id", ["/", " ", "'", ".", "*"])
async def test_an_id_of_one_byte_is_fenced_read_back_and_deleted(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, id: str
) -> None:
    await check_life(sink, stage, store, kind, id)


async def test_ids_that_differ_in_one_byte_are_two_entities(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId
) -> None:
    ids = [new_id(name) for name in ("a", "A", "á", "a\u0301", "a ", " a", "a/", "ａ")]
    changes = [sink.upsert(kind, id, version) for version, id in enumerate(ids, start=1)]
    assert await settle(stage, changes) == [Applied()] * len(ids)
    assert await store.get(kind, ids) == {change.id: sink.stored(change) for change in changes}


async def check_life(sink: Sink, stage: Stage[Any], store: Store, kind: Kind, id: str) -> None:
    upsert, delete = sink.upsert(kind, id, 2), sink.delete(kind, id, 4)
    assert await settle(stage, [upsert]) == [Applied()]
    assert await store.get(kind, [id]) == {id: sink.stored(upsert)}
    assert await settle(stage, [delete]) == [Applied()]
    (late,) = await settle(stage, [sink.upsert(kind, id, 3)])
    assert isinstance(late, Superseded)
    await store.refresh()
    assert [entity async for entity in store.scan(kind) if entity.id == id] == [sink.stored(delete)]
