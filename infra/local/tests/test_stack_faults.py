"""All servers together: data survives kill -9, a second start finds them, they stop, and damage is repaired."""

import asyncio
import json
import os
import socket
import stat
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.error import URLError

import asyncpg
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from headrace_local.errors import StackError
from headrace_local.stack import Stack

pytestmark = pytest.mark.servers

ALL = {"kafka", "elasticsearch", "postgres", "qdrant"}


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("all") / "not" / "yet")
    with pytest.MonkeyPatch.context() as patch:
        # With the quick compiler alone a JVM needs half the processor time to start; these tests wait for starts.
        patch.setenv("ES_JAVA_OPTS", "-Xms256m -Xmx256m -XX:TieredStopAtLevel=1")
        patch.setenv("KAFKA_HEAP_OPTS", "-Xmx512m -XX:TieredStopAtLevel=1")
        stack.up()
        yield stack
        stack.destroy()


def settings(stack: Stack) -> dict[str, str]:
    lines = stack.settings_path.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def elasticsearch(url: str, body: object = None) -> object:
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(url, data, {"content-type": "application/json"}, method="PUT" if data else "GET")
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


async def write_everywhere(at: Mapping[str, str]) -> None:
    servers = at["HEADRACE_KAFKA__BOOTSTRAP_SERVERS"]
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([NewTopic("kept", num_partitions=1, replication_factor=1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=servers, acks="all") as producer:
        await producer.send_and_wait("kept", b"record")
    postgres = await asyncpg.connect(at["HEADRACE_POSTGRES__DSN"])
    await postgres.execute("CREATE EXTENSION vector")
    await postgres.execute("CREATE TABLE kept AS SELECT '[1,2]'::vector AS embedding")
    await postgres.close()
    elasticsearch(f"{at['HEADRACE_ELASTICSEARCH__URL']}/kept/_doc/1", {"title": "lamp"})


async def read_everywhere(at: Mapping[str, str]) -> tuple[bytes | None, str, object]:
    partition = TopicPartition("kept", 0)
    async with AIOKafkaConsumer(bootstrap_servers=at["HEADRACE_KAFKA__BOOTSTRAP_SERVERS"]) as consumer:
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        record = await consumer.getone()
    postgres = await asyncpg.connect(at["HEADRACE_POSTGRES__DSN"])
    row = await postgres.fetchval("SELECT embedding::text FROM kept")
    await postgres.close()
    document = elasticsearch(f"{at['HEADRACE_ELASTICSEARCH__URL']}/kept/_doc/1")
    assert isinstance(document, dict)
    return record.value, row, document["_source"]


async def test_kill_9_and_a_second_up_keep_ports_settings_and_data(everything: Stack) -> None:
    before = settings(everything)
    await write_everywhere(before)
    for name in ALL:
        everything.kill(name)
    assert {server.state for server in everything.status()} == {"stopped"}
    await asyncio.to_thread(everything.up)
    assert settings(everything) == before
    assert await read_everywhere(before) == (b"record", "[1,2]", {"title": "lamp"})


def test_a_second_up_keeps_the_running_servers(everything: Stack) -> None:
    pids = {name: everything.pid(name) for name in ALL}
    states: list[tuple[str, str]] = []
    Stack(everything.data_dir).up(lambda name, state, seconds: states.append((name, state)))
    assert set(states) == {(name, "running") for name in ALL}
    assert {name: everything.pid(name) for name in ALL} == pids


def test_settings_are_readable_only_by_their_owner(everything: Stack) -> None:
    assert stat.S_IMODE(everything.settings_path.stat().st_mode) == 0o600
    password = settings(everything)["HEADRACE_POSTGRES__DSN"].split(":")[2].split("@")[0]
    for name in ALL:
        assert password not in everything.log_path(name).read_text(errors="replace")


def test_a_paused_server_keeps_its_connections_and_answers_after_resume(everything: Stack) -> None:
    url = f"{settings(everything)['HEADRACE_QDRANT__URL']}/collections"
    everything.pause("qdrant")
    assert {server.name for server in everything.status() if server.state == "paused"} == {"qdrant"}
    with pytest.raises((TimeoutError, URLError)), urllib.request.urlopen(url, timeout=0.5):
        pass
    everything.resume("qdrant")
    with urllib.request.urlopen(url, timeout=20) as answer:
        assert answer.status == 200


def test_a_process_that_was_killed_by_its_id_alone_starts_again(everything: Stack) -> None:
    """PostgreSQL's backends outlive a killed server and keep its shared memory."""
    killed = everything.pid("postgres")
    psutil.Process(killed).kill()
    everything.start("postgres")
    assert everything.pid("postgres") != killed
    assert {server.state for server in everything.status()} == {"running"}


def test_down_ends_every_process_paused_ones_too_and_keeps_the_data(everything: Stack) -> None:
    processes = [psutil.Process(everything.pid(name)) for name in ALL]
    processes += [child for process in processes for child in process.children(recursive=True)]
    everything.pause("postgres")
    everything.down()
    assert not [process for process in processes if process.is_running() and process.status() != "zombie"]
    assert {server.state for server in everything.status()} == {"stopped"}
    assert (everything.data_dir / "kafka" / "data" / "meta.properties").exists()


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user can enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


async def test_incomplete_data_directories_are_created_again(open_directory: Path) -> None:
    stack = Stack(open_directory, services={"kafka", "postgres"})
    for half_made in ("kafka/data.new", "postgres/new/data"):
        (open_directory / half_made).mkdir(parents=True)
        (open_directory / half_made / "PG_VERSION").write_text("half")
    try:
        at = await asyncio.to_thread(stack.up)
        postgres = await asyncpg.connect(at["HEADRACE_POSTGRES__DSN"])
        await postgres.close()
    finally:
        await asyncio.to_thread(stack.destroy)


def test_a_lost_password_is_replaced(tmp_path: Path) -> None:
    stack = Stack(tmp_path, services={"postgres"})
    try:
        before = stack.up()
        stack.stop("postgres")
        (tmp_path / "postgres" / "password").unlink()
        after = stack.up()
        assert after != before
        asyncio.run(_connects(after["HEADRACE_POSTGRES__DSN"]))
    finally:
        stack.destroy()


def test_the_reason_of_a_failed_start_is_reported_in_one_line(tmp_path: Path) -> None:
    stack = Stack(tmp_path, services={"qdrant"})
    shard = tmp_path / "qdrant" / "data" / "collections" / "broken"
    shard.mkdir(parents=True)
    try:
        with pytest.raises(StackError, match=r"qdrant ended while starting: .*server\.log") as failed:
            stack.up()
        assert "\n" not in str(failed.value)
    finally:
        stack.destroy()


def test_a_port_that_another_program_took_is_changed_by_up_only(tmp_path: Path) -> None:
    stack = Stack(tmp_path, services={"qdrant"})
    try:
        stack.up()
        (server,) = stack.status()
        stack.stop("qdrant")
        with socket.create_server(("127.0.0.1", server.ports["http"])):
            with pytest.raises(StackError, match="taken by another program"):
                stack.start("qdrant")
            assert stack.up()["HEADRACE_QDRANT__URL"] != f"http://127.0.0.1:{server.ports['http']}"
    finally:
        stack.destroy()


def test_a_recorded_id_that_another_program_has_now_is_not_touched(tmp_path: Path) -> None:
    stack = Stack(tmp_path, services={"qdrant"})
    record = {"servers": {"qdrant": {"ports": {"http": 20001}, "pid": os.getpid(), "created": 1.0}}}
    (tmp_path / "stack.json").write_text(json.dumps(record))
    assert [server.state for server in stack.status()] == ["stopped"]
    stack.kill("qdrant")
    stack.down()
    with pytest.raises(StackError, match="qdrant is not running"):
        stack.pid("qdrant")


async def _connects(dsn: str) -> None:
    await (await asyncpg.connect(dsn)).close()
