"""A worker that starts before Kafka can be used waits, says why, and continues by itself."""

import asyncio
import json
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import pytest
from harness.live_workers import readiness, running
from harness.memory import MemoryStage, memory_worker
from harness.processes import WorkerProcess
from harness.proxy import HOST, Proxy
from harness.records import eventually, product, publish
from harness.servers import Servers
from pydantic import SecretStr

from headrace_cli.kafka_topics import apply_topics
from headrace_clients.kafka_obstacle import obstacle
from headrace_local.ports import free_ports
from headrace_runtime.broker import GRACE_SECONDS
from headrace_worker.settings import WorkerSettings

pytestmark = pytest.mark.servers


async def _problem(application: Any, *words: str) -> bool:
    return any(all(word in line for word in words) for line in (await readiness(application))["problems"])


async def test_a_worker_waits_for_kafka_and_for_its_topics(servers: Servers) -> None:
    there = servers.settings(WorkerSettings, "kafka", TOPIC_PREFIX=f"t{uuid.uuid4().hex[:8]}.")
    (port,) = free_ports(1)
    stage = MemoryStage()
    absent = there.model_copy(deep=True)
    absent.kafka.bootstrap_servers = f"{HOST}:{port}"
    async with running(memory_worker(stage), absent) as application:
        await eventually(lambda: _problem(application, f"Kafka does not answer at {HOST}:{port}", "since"))
        assert (await readiness(application))["alive"] is True
        server_port = int(there.kafka.bootstrap_servers.rpartition(":")[2])
        async with await asyncio.start_server(Proxy(server_port, port).serve, HOST, port):
            await eventually(lambda: _problem(application, "there is no topic", "`headrace topics apply`"))
            await apply_topics(there, ["memory"])
            await publish(there, there.topics.source("product"), [product("p1", 1)])
            await eventually(lambda: stage.versions() == {"p1": 1}, within=60)
            assert (await readiness(application))["problems"] == []


def test_a_waiting_worker_answers_its_routes_and_stops_at_once(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    worker = WorkerProcess("qdrant", {"HEADRACE_KAFKA__BOOTSTRAP_SERVERS": f"{HOST}:{port}"}, tmp_path)
    worker.start()
    try:
        worker.wait_for("kafka_unavailable")
        address = next(line for line in worker.lines() if line["event"] == "http_listening")
        assert _get(address["port"], "/healthz")[0] == 200
        status, body = _get(address["port"], "/readyz")
        assert status == 503
        assert any(f"Kafka does not answer at {HOST}:{port}" in problem for problem in body["problems"])
        asked = time.monotonic()
        assert worker.stop() == 0
        assert time.monotonic() - asked < GRACE_SECONDS
    finally:
        worker.end()


def _get(port: int, path: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}{path}") as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_the_first_start_on_new_servers_logs_no_warning(servers: Servers, tmp_path: Path) -> None:
    """The group is the first one of its broker if the test runs alone."""
    prefix = f"t{uuid.uuid4().hex[:8]}."
    settings = servers.settings(WorkerSettings, "kafka", TOPIC_PREFIX=prefix)
    asyncio.run(apply_topics(settings, ["qdrant"]))
    worker = WorkerProcess("qdrant", {**servers.need("kafka"), "HEADRACE_TOPIC_PREFIX": prefix}, tmp_path)
    worker.start()
    try:
        worker.wait_for("worker_started")
        address = next(line for line in worker.lines() if line["event"] == "http_listening")
        deadline = time.monotonic() + 60
        while _get(address["port"], "/readyz")[1]["assigned_partitions"] == 0 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert worker.stop() == 0
    finally:
        worker.end()
    assert [line for line in worker.lines() if line["level"] in ("warning", "error")] == []


async def test_what_is_wrong_with_a_connection_is_named(servers: Servers) -> None:
    kafka = servers.settings(WorkerSettings, "kafka").kafka
    assert await obstacle(kafka) is None
    address = kafka.bootstrap_servers
    encrypted = kafka.model_copy(update={"security_protocol": "SSL"})
    found = await obstacle(encrypted)
    assert found is not None
    assert address in found.detail
    assert "HEADRACE_KAFKA__SECURITY_PROTOCOL" in found.detail
    signed_in = kafka.model_copy(
        update={"security_protocol": "SASL_PLAINTEXT", "sasl_username": "u", "sasl_password": SecretStr("secret")}
    )
    found = await obstacle(signed_in)
    assert found is not None
    assert "HEADRACE_KAFKA__SASL_MECHANISM" in found.detail
    assert "secret" not in found.detail
