"""A scan shows what a store holds, in the order of its keys, whoever wrote it."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
from harness.sinks import Sink, outcomes_of

from headrace_schemas.canary import CANARY_ID
from headrace_schemas.fields import Kind
from headrace_worker.scan import Mends, Scan, Scanned
from headrace_worker.stage import Stage

NewId = Callable[[str], str]


@pytest.fixture
async def scan(sink: Sink) -> AsyncIterator[Scan]:
    if sink.worker.scan is None:
        pytest.skip("the sink has no scan")
    opened = sink.worker.scan(sink.settings)
    yield opened
    await opened.close()


async def rows(scan: Scan, kind: Kind, after: bytes = b"", upto: bytes | None = None) -> list[Scanned]:
    await scan.refresh()
    return [one async for page in scan.pages(kind, after, upto) for one in page.rows]


async def test_a_scan_shows_what_is_stored_by_key(
    sink: Sink, stage: Stage[Any], scan: Scan, kind: Kind, new_id: NewId
) -> None:
    changes = [sink.upsert(kind, new_id(name), 2**62 + 1) for name in ("b", "a", "\U0001f37c", "é")]
    changes += [sink.delete(kind, new_id("gone"), 7), sink.upsert(kind, CANARY_ID, 1)]
    await outcomes_of(stage, changes)
    found = await rows(scan, kind)
    assert [one.key for one in found] == sorted(one.key for one in found)
    assert CANARY_ID not in {one.stored.id for one in found}
    own = {one.stored.id: one for one in found if one.stored.id.startswith(new_id(""))}
    wanted = {change.id: sink.stored(change) for change in changes[:-1]}
    assert {id: one.stored for id, one in own.items()} == wanted
    assert {one.key for one in own.values()} == {scan.key(id) for id in own}
    assert {one.fence for one in own.values()} == {2**62 + 1, 7}
    for change in changes[:-1]:
        vector = own[change.id].vector
        if not sink.takes_vectors or change.deleted:
            assert vector is None
        else:
            difference = np.frombuffer(vector or b"", "<f4") - np.frombuffer(change.embedding.vector, "<f4")
            assert np.abs(difference).max() < 1e-6
    assert await scan.read(kind, [*(one.key for one in own.values()), scan.key(new_id("unknown"))]) == {
        one.key: one for one in own.values()
    }


async def test_the_ranges_of_a_scan_are_the_whole(
    sink: Sink, stage: Stage[Any], scan: Scan, kind: Kind, new_id: NewId
) -> None:
    await outcomes_of(stage, [sink.upsert(kind, new_id(str(number)), 1) for number in range(20)])
    whole = [one.key for one in await rows(scan, kind)]
    middle, beside = whole[len(whole) // 2], scan.key(new_id("no entity"))
    for cut in (middle, beside):
        parts = [await rows(scan, kind, b"", cut), await rows(scan, kind, cut)]
        assert [one.key for part in parts for one in part] == whole
        assert all(one.key <= cut for one in parts[0])
        assert all(cut < one.key for one in parts[1])


async def test_a_mend_replaces_what_was_seen_and_nothing_newer(
    sink: Sink, stage: Stage[Any], scan: Scan, kind: Kind, new_id: NewId
) -> None:
    assert isinstance(scan, Mends)
    id = new_id("a")
    wrong, right, newer = (
        sink.upsert(kind, id, version, text=text) for version, text in ((5, "x"), (5, "y"), (6, "z"))
    )
    await outcomes_of(stage, [wrong])
    seen = (await scan.read(kind, [scan.key(id)]))[scan.key(id)]
    await scan.mend(kind, seen, right)
    assert (await scan.read(kind, [seen.key]))[seen.key].stored == sink.stored(right)
    await outcomes_of(stage, [newer])
    await scan.mend(kind, seen, right)
    assert (await scan.read(kind, [seen.key]))[seen.key].stored == sink.stored(newer)
