"""An acknowledged write of the Qdrant development server survives kill -9."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException

from headrace_local.stack import Stack

pytestmark = pytest.mark.servers


ROWS = 20


class Acknowledged:
    """The ids that the server has acknowledged. `enough` is set at the wanted number."""

    def __init__(self, enough: int) -> None:
        self.ids: list[int] = []
        self.enough = asyncio.Event()
        self._wanted = enough

    def extend(self, ids: list[int]) -> None:
        self.ids += ids
        if len(self.ids) >= self._wanted:
            self.enough.set()


async def write_until_killed(client: AsyncQdrantClient, collection: str, first: int, done: Acknowledged) -> None:
    for start in range(first, first + 1_000_000, ROWS):
        ids = list(range(start, start + ROWS))
        points = [models.PointStruct(id=id, vector={"dense": [1.0, 0.0]}, payload={"of": id}) for id in ids]
        try:
            await client.upsert(collection, points, wait=True)
        except ResponseHandlingException:
            return
        done.extend(ids)


async def test_no_acknowledged_write_is_lost_by_kill_9(
    qdrant_stack: Stack, connect: Callable[[], AsyncQdrantClient], client: AsyncQdrantClient, collection: str
) -> None:
    alias = f"alias-of-{collection}"
    create = models.CreateAlias(collection_name=collection, alias_name=alias)
    await client.update_collection_aliases([models.CreateAliasOperation(create_alias=create)])
    done = Acknowledged(enough=2_000)
    writers = [write_until_killed(client, collection, writer * 1_000_000, done) for writer in range(4)]
    async with asyncio.TaskGroup() as running:
        for writer in writers:
            running.create_task(writer)
        await asyncio.wait_for(done.enough.wait(), timeout=60)
        await asyncio.to_thread(qdrant_stack.kill, "qdrant")
        assert [server.state for server in qdrant_stack.status()] == ["stopped"]
    await asyncio.to_thread(qdrant_stack.start, "qdrant")

    after = connect()
    found = await after.retrieve(alias, done.ids, with_payload=["of"], timeout=60)
    await after.close()
    assert {record.payload["of"] for record in found if record.payload} == set(done.ids)


def test_a_second_process_is_refused_the_same_directory(qdrant_stack: Stack) -> None:
    directory = qdrant_stack.data_dir / "qdrant" / "data"
    command = [sys.executable, "-m", "headrace_local.qdrant_server", str(directory), "0"]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert second.stderr.strip() == f"another process serves {directory}"


def test_a_collection_whose_creation_was_interrupted_does_not_exist(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "stack", services={"qdrant"})
    half_made = tmp_path / "stack" / "qdrant" / "data" / "scratch" / "8d8a" / "shard"
    half_made.mkdir(parents=True)
    try:
        stack.up()
        assert not half_made.exists()
    finally:
        stack.destroy()
