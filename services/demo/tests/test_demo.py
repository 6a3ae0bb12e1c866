"""The demo with its own servers: it succeeds, it can be repeated, and it leaves nothing running."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import psutil
import pytest
from harness.servers import SERVERS, Servers

from headrace_worker.worker import worker_names


@pytest.mark.servers
@pytest.mark.parametrize("embedder", ["onnx", pytest.param("triton", marks=pytest.mark.long)])
def test_the_demo_accounts_for_every_record_and_leaves_nothing(tmp_path: Path, embedder: str) -> None:
    # The demo must not touch the servers that the environment names.
    environment = os.environ | {
        "HEADRACE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "HEADRACE_TOPIC_PREFIX": "mine.",
        "HEADRACE_EMBEDDER": embedder,
    }
    done = subprocess.run(
        [sys.executable, "-m", "headrace_cli", "demo", "--products=60", "--keywords=20", "--changes=75", "--json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    findings = json.loads(done.stdout)
    assert findings["problems"] == []
    assert (findings["published"], findings["malformed"]) == (155, 3)
    assert {worker["worker"] for worker in findings["workers"]} >= {"embed", "qdrant", "elasticsearch", "pgvector"}
    assert all(worker["adds_up"] for worker in findings["workers"])
    stores = findings["stores"].values()
    assert {kinds["product"]["live"] + kinds["product"]["tombstones"] for kinds in stores} == {60}
    assert "방수 텐트" in done.stderr
    assert not (tmp_path / ".headrace" / "demo").exists()
    commands = [str(process.info["cmdline"]) for process in psutil.process_iter(["cmdline"])]
    assert not [command for command in commands if str(tmp_path) in command]


def test_the_demo_uses_servers_and_workers_that_run_already(servers: Servers, tmp_path: Path) -> None:
    run = uuid.uuid4().hex[:8]
    own = {"HEADRACE_TOPIC_PREFIX": f"demo-{run}.", "HEADRACE_NAMESPACE": f"d{run}"}
    environment = os.environ | dict(servers.need(*SERVERS)) | own
    headrace = [sys.executable, "-m", "headrace_cli"]
    for command in ("topics", "stores"):
        subprocess.run([*headrace, command, "apply"], cwd=tmp_path, env=environment, check=True, timeout=100)
    # Without the canary, whose records are none of the demo.
    work = [*headrace, "work", *worker_names()]
    with subprocess.Popen(work, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) as workers:
        try:
            done = subprocess.run(
                [*headrace, "demo", "--running", "--products=30", "--keywords=10", "--changes=25", "--json"],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            assert workers.poll() is None
        finally:
            workers.terminate()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["problems"] == []
