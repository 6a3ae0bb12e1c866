"""The demo on servers of its own: it succeeds, it can be repeated, and it leaves nothing running."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest


@pytest.mark.servers
def test_the_demo_accounts_for_every_record_and_leaves_nothing(tmp_path: Path) -> None:
    # Servers elsewhere that the environment names must not be touched.
    environment = os.environ | {"HEADRACE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "HEADRACE_TOPIC_PREFIX": "mine."}
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
