"""Processes outlive their starter, end with all descendants, and are never confused with other programs."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from headrace_local.process import Process, launch
from headrace_local.server import Command

# A parent whose child leaves the process group, as PostgreSQL's backends do.
FAMILY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def family(tmp_path: Path) -> Iterator[tuple[Process, psutil.Process]]:
    log = tmp_path / "log"
    parent = launch(Command([sys.executable, "-c", FAMILY], os.environ), tmp_path, log)
    deadline = time.monotonic() + 60
    while not log.read_text().strip():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child = psutil.Process(int(log.read_text()))
    yield parent, child
    parent.kill()


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_a_launched_process_is_not_a_child_of_its_starter(family: tuple[Process, psutil.Process]) -> None:
    parent, _ = family
    assert parent.pid not in {child.pid for child in psutil.Process().children()}


def test_kill_ends_descendants_in_other_sessions(family: tuple[Process, psutil.Process]) -> None:
    parent, child = family
    parent.kill()
    assert parent.find() is None
    assert not is_alive(child)


def test_pause_and_resume_affect_descendants(family: tuple[Process, psutil.Process]) -> None:
    parent, child = family
    parent.pause()
    assert parent.is_paused()
    assert child.status() == psutil.STATUS_STOPPED
    parent.resume()
    assert not parent.is_paused()
    assert child.status() != psutil.STATUS_STOPPED


def test_the_same_id_with_another_time_of_creation_is_another_program() -> None:
    with subprocess.Popen(["sleep", "600"]) as bystander:
        created = psutil.Process(bystander.pid).create_time()
        recycled = Process(bystander.pid, created - 60)
        recycled.kill()
        recycled.stop(15, timeout=1)
        assert recycled.find() is None
        assert bystander.poll() is None
        assert Process(bystander.pid, created).find() is not None
        bystander.kill()
