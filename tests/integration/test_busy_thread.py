"""A worker whose thread is busy ends within its grace time."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest
from harness.records import product, publish

from headrace_worker.settings import WorkerSettings

pytestmark = pytest.mark.servers

WORKER = """
import sys, time
from harness.memory import MemoryStage, memory_worker
from headrace_runtime import main
from headrace_worker.work_thread import WorkThread

class BusyStage(MemoryStage):
    async def apply(self, changes):
        thread = WorkThread("busy")
        print("busy", flush=True)
        return await thread.run(lambda: time.sleep(120))

main.load_worker = lambda name: memory_worker(BusyStage())
sys.exit(main.run("memory"))
"""


async def test_sigterm_ends_a_worker_whose_thread_is_busy(settings: WorkerSettings) -> None:
    await publish(settings, settings.topics.source("product"), [product("a", 1)])
    await asyncio.to_thread(_ends_within_its_grace_time, settings)


def _ends_within_its_grace_time(settings: WorkerSettings) -> None:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "HEADRACE_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "HEADRACE_TOPIC_PREFIX": settings.topic_prefix,
    }
    with subprocess.Popen([sys.executable, "-c", WORKER], env=environment, stdout=subprocess.PIPE) as worker:
        try:
            assert worker.stdout is not None
            assert worker.stdout.readline() == b"busy\n"
            began = time.monotonic()
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(30) == 0
            assert time.monotonic() - began < 15
        finally:
            worker.kill()
