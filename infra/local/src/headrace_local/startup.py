"""Starts a server and waits until it serves clients."""

import re
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

from headrace_local.errors import StackError
from headrace_local.ports import is_free
from headrace_local.process import Process, launch
from headrace_local.server import Server

START_TIMEOUT = 300.0
FREE_TIMEOUT = 5.0
# The last line of the log that matches explains why a server ended early.
EXPLAINING = re.compile(r"\b(ERROR|FATAL|PANIC)\b|^\S*(Error|Exception)\b|^error:")


class Ended(StackError):
    """The server's process ended before it served."""


def launch_server(server: Server, ports: Collection[int], log: Path, report: Callable[[str], None]) -> Process:
    """Install, prepare and start a server. Calls `report` before each step.

    Raises
    ------
    StackError
        If one of them fails, or another program uses one of the ports.
    """
    report("installing")
    server.install()
    report("preparing")
    server.prepare()
    _await_free(server.name, ports)
    report("starting")
    return launch(server.command(), log.parent.resolve(), log)


def await_ready(server: Server, process: Process, log: Path, cancelled: threading.Event) -> None:
    """Return when clients are served.

    Raises
    ------
    Ended
        If the process ends before.
    StackError
        If it takes longer than START_TIMEOUT, or `cancelled` is set.
    """
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        if process.find() is None:
            raise Ended(f"{server.name} ended while starting: {_reason(log)}")
        if server.is_ready():
            return
        if cancelled.is_set():
            raise StackError(f"the start of {server.name} was cancelled")
        if time.monotonic() > deadline:
            raise StackError(f"{server.name} does not answer; see {log}")
        time.sleep(0.1)


def _await_free(name: str, ports: Collection[int]) -> None:
    """Wait a moment: a server that was just killed may still occupy its port."""
    deadline = time.monotonic() + FREE_TIMEOUT
    while taken := [port for port in ports if not is_free(port)]:
        if time.monotonic() > deadline:
            raise StackError(f"{name}: port {taken[0]} is taken by another program; end it, or `headrace up` again")
        time.sleep(0.1)


def _reason(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    explaining = [line for line in lines[-200:] if EXPLAINING.search(line)] or lines or ["no output"]
    return f"{explaining[-1].strip()[:300]} ({log})"
