"""`headrace dead` on real servers, as an operator runs it; one replay is killed."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from harness.forked_command import headrace, inherited
from harness.installation import Installation, in_memory, open_installation, prepared
from harness.live_workers import running
from harness.memory import MemoryStage
from harness.records import eventually, product, publish
from harness.servers import Servers

from headrace_clients.kafka import client_options
from headrace_letters.selection import Selection
from headrace_runtime.publisher import Outgoing, Publisher
from headrace_worker.worker import load_worker

pytestmark = pytest.mark.servers

NAME = "elasticsearch"


@pytest.fixture
async def installation(servers: Servers) -> AsyncIterator[Installation]:
    servers.need("elasticsearch", "qdrant")
    async with open_installation(servers, NAME) as opened:
        worker = load_worker(NAME)
        await (await prepared(worker, opened.settings_of(worker))).close()
        yield opened


async def dead(installation: Installation, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs `headrace dead …` in a thread, so that the workers in this process continue."""
    return await asyncio.to_thread(headrace, "dead", *arguments, environment=installation.environment)


async def printed(installation: Installation, *arguments: str, status: int = 0) -> Any:
    """Returns the JSON that the command prints."""
    done = await dead(installation, *arguments, "--json")
    assert (done.returncode, bool(done.stdout)) == (status, True), done.stderr
    return json.loads(done.stdout)


class RejectingWorker:
    """The worker with a stage in memory that rejects ids."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.stage = MemoryStage()
        worker = load_worker(NAME)
        self.settings = installation.settings_of(worker)
        self.settings.breaker.allow_rejects = True
        self.worker = in_memory(worker, self.stage)

    async def fail(self, *ids: str, **fields: Any) -> None:
        """Makes and indexes a letter for each id."""
        before = len(await self.installation.letters(NAME))
        self.stage.reject |= set(ids)
        source = self.settings.topics.source("product")
        await publish(self.settings, source, [product(id, 4, **fields) for id in ids])
        async with running(self.worker, self.settings):
            await eventually(lambda: self._has(before + len(ids)))
        await self.installation.indexed()

    async def _has(self, count: int) -> bool:
        return len(await self.installation.letters(NAME)) == count


async def test_an_operator_finds_a_cause_and_clears_its_letters(installation: Installation) -> None:
    rejecting = RejectingWorker(installation)
    ids = [f"{installation.prefix}{number}" for number in range(25)]
    await rejecting.fail(*ids)
    (group,) = await printed(installation, "groups")
    assert (group["worker"], group["reason"], group["count"]) == (NAME, "refused_by_store", 25)
    assert sum(group["series"]) == 25
    cause = ("--fingerprint", group["fingerprint"])
    ahead = await printed(installation, "preview", *cause)
    assert (ahead["total"], ahead["apply"]) == (25, 25)
    assert (await printed(installation, "replay", *cause, "--dry-run"))["published"] == 25
    rejecting.stage.reject = set()
    async with running(rejecting.worker, rejecting.settings):
        done = await printed(installation, "replay", *cause, "--actor", "on-call", "--reason", "deploy reverted")
    assert (done["state"], done["resolved"], done["unanswered"]) == ("done", 25, 0)
    await installation.indexed()
    assert await printed(installation, "ls", "--status", "waiting") == []
    assert {letter["status"] for letter in await printed(installation, "ls")} == {"resolved"}
    shown = await printed(installation, "show", (await printed(installation, "ls"))[0]["id"])
    assert [(row["actor"], row["name"], row["reason"]) for row in shown["actions"]] == [
        ("on-call", "replay", "deploy reverted")
    ]


async def test_kill_9_in_mid_replay_loses_nothing_and_counts_nothing_twice(installation: Installation) -> None:
    rejecting = RejectingWorker(installation)
    ids = [f"{installation.prefix}{number}" for number in range(120)]
    await rejecting.fail(*ids)
    rejecting.stage.reject = set()
    async with running(rejecting.worker, rejecting.settings):
        line = [
            sys.executable,
            "-m",
            "headrace_cli",
            "dead",
            "replay",
            "--all",
            "--rate",
            "20",
            "--canary",
            "0",
            "--json",
        ]
        environment = inherited() | dict(installation.environment)
        process = await asyncio.create_subprocess_exec(*line, env=environment, stdout=subprocess.DEVNULL)
        await eventually(lambda: _has_replays(installation, 20), within=60)
        process.kill()
        assert await process.wait() == -signal.SIGKILL
        sent = len(await installation.replays(NAME))
        assert 20 <= sent < 120
        await installation.answered(NAME, 120 + sent)
        left = len(await installation.indexed())
        assert 120 - sent <= left < 120
        done = await printed(installation, "replay", "--all")
    assert (done["published"], done["resolved"]) == (left, left)
    statuses = [one.status for one in await installation.indexed(Selection())]
    assert statuses == ["resolved"] * 120
    assert rejecting.stage.versions() == dict.fromkeys(ids, 4)
    killed, finished = (await installation.index.audit())[::-1]
    assert killed.outcome is None
    assert finished.outcome is not None


async def _has_replays(installation: Installation, count: int) -> bool:
    return len(await installation.replays(NAME)) >= count


async def test_parked_and_discarded_letters_are_not_replayed(installation: Installation) -> None:
    rejecting = RejectingWorker(installation)
    ids = [f"{installation.prefix}{number}" for number in range(3)]
    await rejecting.fail(*ids)
    by_entity = {letter["entity_id"]: letter["id"] for letter in await printed(installation, "ls")}
    assert (await printed(installation, "park", "--id", by_entity[ids[0]]))["parked"] == 1
    given_up = await printed(installation, "discard", "--key", ids[1], "--reason", "the product was a test")
    assert (given_up["discarded"], given_up["dry_run"]) == (1, False)
    assert (await printed(installation, "preview"))["total"] == 1
    assert (await printed(installation, "preview", "--status", "parked"))["total"] == 1
    statuses = {letter["entity_id"]: letter["status"] for letter in await printed(installation, "ls")}
    assert statuses == {ids[0]: "parked", ids[1]: "discarded", ids[2]: "waiting"}
    done = await dead(installation, "discard", "--worker", NAME)
    assert done.returncode == 2
    assert "--reason" in done.stderr


async def test_letters_are_edited_through_a_file(installation: Installation, tmp_path: Any, servers: Servers) -> None:
    servers.need("qdrant")
    for name in ("pgvector", "qdrant"):
        worker = load_worker(name)
        settings = installation.settings_of(worker)
        await (await prepared(worker, settings)).close()
    in_default_database = {"HEADRACE_POSTGRES__DSN": installation.environment["HEADRACE_POSTGRES__DSN"]}
    worker = load_worker("pgvector")
    own = servers.settings(
        worker.settings, "kafka", "postgres", POSTGRES__DSN=in_default_database["HEADRACE_POSTGRES__DSN"]
    )
    await (await prepared(worker, own)).close()
    rejecting = RejectingWorker(installation)
    await rejecting.fail(f"{installation.prefix}0", f"{installation.prefix}1")
    await installation.read_by("embed", "pgvector", "qdrant")
    file = tmp_path / "letters.jsonl"
    assert (await dead(installation, "export", "--worker", NAME, "--output", str(file))).returncode == 0
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(lines) == 2
    lines[0]["value"]["title"] = "Corrected by hand"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines) + "{nonsense\n")
    would = await printed(installation, "import", str(file), "--dry-run", status=1)
    assert (would["published"], would["unchanged"], len(would["refused"])) == (1, 1, 1)
    done = await printed(installation, "import", str(file), "--actor", "on-call", status=1)
    assert done["versions"] == [{"kind": "product", "id": lines[0]["value"]["product_id"], "version": 4, "note": ""}]
    statuses = {one.letter.id: one.status for one in await installation.indexed(Selection())}
    assert statuses == {lines[0]["dead_id"]: "superseded", lines[1]["dead_id"]: "waiting"}


HOSTILE = "\x1b[2J\x1b]0;owned\x07[bold red]x[/]\u202egnp.exe\x9b31m"


async def test_the_content_of_a_letter_cannot_control_the_terminal(installation: Installation) -> None:
    rejecting = RejectingWorker(installation)
    id = f"{installation.prefix}{HOSTILE}"
    await rejecting.fail(id, title=HOSTILE, attributes={HOSTILE: HOSTILE})
    (letter,) = await printed(installation, "ls")
    assert letter["key"] == id
    for call in (["groups"], ["ls"], ["show", letter["id"]], ["preview"]):
        done = await dead(installation, *call)
        assert done.returncode == 0, done.stderr
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", done.stdout), call
    shown = (await dead(installation, "show", letter["id"])).stdout
    assert r"\x1b[2J" in shown
    assert "[bold red]x[/]" in shown
    whole = await printed(installation, "show", letter["id"])
    assert whole["value"]["title"] == HOSTILE
    assert whole["stores"][NAME] is None


async def made_topic(installation: Installation, name: str) -> str:
    """Makes the topic and returns its name."""
    admin = AIOKafkaAdminClient(**client_options(installation.settings.kafka))
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1)])
        return name
    finally:
        await admin.close()


async def test_letters_of_kafka_connect_and_spring_are_read_from_their_topics(installation: Installation) -> None:
    topic = await made_topic(installation, f"{installation.prefix}orders-dlq")
    connect = [
        ("__connect.errors.topic", b"orders"), ("__connect.errors.partition", b"3"), ("__connect.errors.offset", b"42"),
        ("__connect.errors.connector.name", b"jdbc-sink"), ("__connect.errors.stage", b"VALUE_CONVERTER"),
        ("__connect.errors.exception.class.name", b"org.apache.kafka.connect.errors.DataException"),
        ("__connect.errors.exception.message", b"cannot convert"),
    ]  # fmt: skip
    spring = [
        ("kafka_dlt-original-topic", b"payments"), ("kafka_dlt-original-partition", (1).to_bytes(4, "big")),
        ("kafka_dlt-original-offset", (2**40).to_bytes(8, "big")), ("kafka_dlt-original-consumer-group", b"billing"),
        ("kafka_dlt-exception-fqcn", b"java.lang.IllegalStateException"),
        ("kafka_dlt-exception-message", b"\x1b[31mno rate for KRW"),
    ]  # fmt: skip
    publisher = Publisher(installation.settings.kafka)
    await publisher.publish([Outgoing(topic, b"k1", b'{"a": 1}', connect), Outgoing(topic, b"k2", b"\x00\xff", spring)])
    await publisher.close()
    letters = {letter["key"]: letter for letter in await printed(installation, "ls", "--topic", topic)}
    assert (letters["k1"]["worker"], letters["k1"]["topic"], letters["k1"]["offset"]) == ("jdbc-sink", "orders", 42)
    assert (letters["k2"]["worker"], letters["k2"]["topic"], letters["k2"]["offset"]) == ("billing", "payments", 2**40)
    groups = await printed(installation, "groups", "--topic", topic)
    assert {(group["worker"], group["count"]) for group in groups} == {("jdbc-sink", 1), ("billing", 1)}
    shown = await dead(installation, "show", letters["k2"]["id"], "--topic", topic)
    assert "no rate for KRW" in shown.stdout
    assert "\x1b" not in shown.stdout
    assert "00 ff" in shown.stdout
    assert "the system that wrote it must send it again" in shown.stdout
