"""Each id of 1 to 512 bytes is an entity of its own."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from harness.sinks import Sink, outcomes_of

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
ONE_BYTE = ("/", " ", "'", ".", "*")


async def test_an_id_of_any_length_and_script_is_fenced_read_back_and_deleted(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind
) -> None:
    """All ids share one batch and one scan. Each assertion compares every id and shows those that are wrong."""
    ids = awkward_ids()
    upserts = {name: sink.upsert(kind, id, 2) for name, id in ids.items()}
    deletes = {name: sink.delete(kind, id, 4) for name, id in ids.items()}

    assert await outcomes_by_name(stage, upserts) == dict.fromkeys(ids, Applied())
    assert await store.get(kind, list(ids.values())) == {one.id: sink.stored(one) for one in upserts.values()}
    assert await outcomes_by_name(stage, deletes) == dict.fromkeys(ids, Applied())
    late = await outcomes_by_name(stage, {name: sink.upsert(kind, id, 3) for name, id in ids.items()})
    assert {name: type(outcome) for name, outcome in late.items()} == dict.fromkeys(ids, Superseded)

    await store.refresh()
    wanted = set(ids.values())
    scanned = [entity async for entity in store.scan(kind) if entity.id in wanted]
    assert {entity.id: entity for entity in scanned} == {one.id: sink.stored(one) for one in deletes.values()}
    assert len(scanned) == len(ids)


async def test_ids_that_differ_in_one_byte_are_two_entities(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId
) -> None:
    ids = [new_id(name) for name in ("a", "A", "á", "a\u0301", "a ", " a", "a/", "ａ")]
    changes = [sink.upsert(kind, id, version) for version, id in enumerate(ids, start=1)]
    assert await outcomes_of(stage, changes) == [Applied()] * len(ids)
    assert await store.get(kind, ids) == {change.id: sink.stored(change) for change in changes}


def awkward_ids() -> dict[str, str]:
    """Ids by name: of one byte, of 512 bytes, and with characters that a protocol or a query could misread."""
    ids = {name: id + uuid4().hex for name, id in AWKWARD.items()}
    wide = (uuid4().hex + "전" * MAX_ID_BYTES).encode()[: MAX_ID_BYTES - 3].decode(errors="ignore")
    ids["512 bytes of ASCII"] = uuid4().hex.ljust(MAX_ID_BYTES, "x")
    ids["512 bytes of UTF-8"] = wide.ljust(MAX_ID_BYTES - len(wide.encode()) + len(wide), "y")
    assert {len(id.encode()) for name, id in ids.items() if name.startswith("512")} == {MAX_ID_BYTES}
    return ids | {f"one byte {id!r}": id for id in ONE_BYTE}


async def outcomes_by_name(stage: Stage[Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The outcome of each change of one batch, by the name of its id."""
    return dict(zip(changes, await outcomes_of(stage, list(changes.values())), strict=True))
