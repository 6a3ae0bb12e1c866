"""Workers under a supervisor: it starts them again when they die, and they end when it ends, also when it is killed."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from headrace_cli.errors import CommandError
from headrace_cli.supervisor import Limits, Supervisor
from headrace_cli.supervisor_metrics import served

RUNS = "import time; print('runs', flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {RUNS}"
TIDY = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print('tidied up', flush=True), sys.exit(0)))
print('runs', flush=True)
time.sleep(60)
"""


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


LIMITS = Limits(grace=2.0, first_pause=0.05)


class Run:
    """A supervisor of some programs in this process, and the lines that it reports."""

    def __init__(self, limits: Limits = LIMITS, **programs: str) -> None:
        self.said: list[tuple[str, str]] = []
        commands = {name: python(program) for name, program in programs.items()}
        self.supervisor = Supervisor(commands, lambda name, line: self.said.append((name, line)), limits=limits)

    async def start(self) -> asyncio.Task[int]:
        return asyncio.create_task(self.supervisor.run())


async def test_the_metrics_say_which_workers_run_and_how_often_each_has_started_again() -> None:
    run = Run(dies="raise SystemExit(1)", lives=RUNS)
    port = free_port()
    with served(run.supervisor, port):
        running = await run.start()
        await until(lambda: run.supervisor.restarts["dies"] >= 2 and ("lives", "runs") in run.said)
        page = await asyncio.to_thread(lambda: urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode())
        assert 'headrace_supervisor_worker_up{worker="lives"} 1.0' in page
        assert 'headrace_supervisor_restarts_total{worker="lives"} 0.0' in page
        [restarts] = re.findall(r'headrace_supervisor_restarts_total{worker="dies"} (\d+)', page)
        assert int(restarts) >= 2
        with pytest.raises(CommandError, match=str(port)), served(run.supervisor, port):
            pass
        run.supervisor.stop()
        await running
    assert run.supervisor.running == set()


async def test_a_worker_that_dies_starts_again_and_the_others_continue() -> None:
    run = Run(dies="print('runs'); raise SystemExit(1)", lives=RUNS)
    running = await run.start()
    await until(lambda: run.said.count(("dies", "runs")) >= 3)
    assert run.said.count(("lives", "runs")) == 1
    assert ("dies", "ended with status 1; starts again in 0.05 s") in run.said
    run.supervisor.stop()
    assert await running == 0


async def test_a_worker_that_was_killed_starts_again() -> None:
    run = Run(killed="import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    running = await run.start()
    await until(lambda: run.supervisor.restarts["killed"] >= 2)
    assert any("signal SIGKILL" in line for _, line in run.said)
    run.supervisor.stop()
    await running


async def test_pauses_between_restarts_grow_and_end_at_a_limit() -> None:
    run = Run(Limits(first_pause=0.05, longest_pause=0.2), dies="raise SystemExit(1)")
    running = await run.start()
    await until(lambda: run.supervisor.restarts["dies"] >= 5)
    run.supervisor.stop()
    await running
    pauses = [line.rpartition(" in ")[2] for _, line in run.said]
    assert pauses[:5] == ["0.05 s", "0.1 s", "0.2 s", "0.2 s", "0.2 s"]


async def test_a_worker_starts_again_only_after_the_pause() -> None:
    run = Run(Limits(first_pause=0.6), dies="import time; print(time.time()); raise SystemExit(1)")
    running = await run.start()
    await until(lambda: run.supervisor.restarts["dies"] >= 2)
    run.supervisor.stop()
    await running
    first, second, *_ = [float(line) for _, line in run.said if line[0].isdigit()]
    assert second - first >= 0.6


async def test_stopping_lets_every_worker_finish() -> None:
    run = Run(one=TIDY, two=TIDY)
    running = await run.start()
    await until(lambda: len([line for _, line in run.said if line == "runs"]) == 2)
    run.supervisor.stop()
    assert await running == 0
    assert {("one", "tidied up"), ("two", "tidied up")} <= set(run.said)


async def test_a_worker_that_does_not_end_is_killed() -> None:
    run = Run(stubborn=STUBBORN)
    running = await run.start()
    await until(lambda: ("stubborn", "runs") in run.said)
    run.supervisor.stop()
    assert await asyncio.wait_for(running, 15) == 0
    assert ("stubborn", "did not end within 2 s and was killed") in run.said


async def test_wrong_settings_end_all_instead_of_restarting_for_ever() -> None:
    run = Run(wrong="raise SystemExit(2)", lives=RUNS)
    assert await asyncio.wait_for(await run.start(), 20) == 2
    assert run.supervisor.restarts == {"wrong": 0, "lives": 0}


async def test_a_line_longer_than_a_mebibyte_does_not_end_the_reading() -> None:
    run = Run(long=f"print('x' * {2**21}); print('after', flush=True); {RUNS}")
    running = await run.start()
    await until(lambda: ("long", "runs") in run.said)
    run.supervisor.stop()
    await running
    assert ("long", "after") in run.said


def test_workers_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    program = f"""
import asyncio, sys
from headrace_cli.supervisor import Supervisor
print_name = "import os, time; open({str(tmp_path / "pid")!r}, 'w').write(str(os.getpid())); time.sleep(60)"
asyncio.run(Supervisor({{"one": [sys.executable, "-c", print_name]}}, print).run())
"""
    supervisor = subprocess.Popen(python(program))
    try:
        deadline = time.monotonic() + 20
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        worker = psutil.Process(int((tmp_path / "pid").read_text()))
    finally:
        os.kill(supervisor.pid, signal.SIGKILL)
        supervisor.wait()
    _, alive = psutil.wait_procs([worker], timeout=10)
    assert not alive
