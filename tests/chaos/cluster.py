"""The installation under chaos: three Kafka nodes, the stores behind proxies, and two copies of each worker."""

import asyncio
import os
import re
import subprocess
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar

from harness.account import read_vectors
from harness.processes import WorkerProcess
from harness.servers import settings_in
from harness.store_parts import open_part

from chaos.proxies import HOST, FaultyProxy
from headrace_cli.kafka_topics import apply_topics
from headrace_local.stack import Stack
from headrace_local.system_user import home, unprivileged
from headrace_worker.settings import ENV_PREFIX, CommonSettings, WorkerSettings
from headrace_worker.worker import load_worker, rejecting_names, worker_names

S = TypeVar("S", bound=CommonSettings)
BROKERS = ("kafka-1", "kafka-2", "kafka-3")
STORES = ("elasticsearch", "postgres", "qdrant")
COPIES = ("a", "b")
DISKS = {"elasticsearch": "400m", "postgres": "600m", "qdrant": "300m"}
"""The sizes of the file systems in memory that hold the stores' data."""
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
WITH_OWN_CLOCK = ("elasticsearch", "qdrant")
"""The workers whose copy `b` reads its time through libfaketime."""
VARIABLES = {
    "TOPIC_PREFIX": "chaos.",
    "BATCH__MAX_RECORDS": "200",
    "KAFKA__SESSION_TIMEOUT": "6",
    "QDRANT__TIMEOUT": "8",
    "ELASTICSEARCH__TIMEOUT": "8",
    "POSTGRES__TIMEOUT": "8",
    "LINK__SWEEP_WAIT": "3",
}
SMALL_HEAPS = {
    "ES_JAVA_OPTS": "-Xms256m -Xmx256m -XX:TieredStopAtLevel=1",
    "KAFKA_HEAP_OPTS": "-Xmx256m -XX:TieredStopAtLevel=1",
}


class Cluster:
    """`workers`: by name and copy. `proxies`: by store. `direct`: HEADRACE_ variables that go past the proxies.

    `disks`: the folders of the stores whose disk can be filled. `without`: what this machine does not allow, and why.
    `vectors`: by content hash, what `keep_vectors` has read.
    """

    def __init__(self, directory: Path, copies: Sequence[str] = COPIES) -> None:
        self.directory = directory
        self.stack = Stack(directory / "stack", kafka_nodes=3, services=(*BROKERS, *STORES))
        self.proxies: dict[str, FaultyProxy] = {}
        self.workers: dict[tuple[str, str], WorkerProcess] = {}
        self.direct: dict[str, str] = {}
        self.disks: dict[str, Path] = {}
        self.vectors: dict[str, bytes] = {}
        self.without: list[str] = []
        self._copies = copies
        self._environment: dict[str, str] = {}

    async def open(self) -> None:
        """Starts everything."""
        os.environ |= {name: value for name, value in SMALL_HEAPS.items() if name not in os.environ}
        self._mount_disks()
        self.direct = dict(await asyncio.to_thread(self.stack.up)) | {
            ENV_PREFIX + name: value for name, value in VARIABLES.items()
        }
        self._environment = dict(self.direct)
        for store in STORES:
            await self._put_proxy_before(store)
        self.settings = self.settings_for(WorkerSettings)
        await apply_topics(self.settings, rejecting_names())
        for name in worker_names():
            await self._prepare(name)
        for name in worker_names():
            for copy in self._copies:
                self.workers[name, copy] = self.process(name, copy)
        for worker in self.workers.values():
            worker.start()
        for worker in self.workers.values():
            await asyncio.to_thread(worker.wait_for, "worker_started")

    async def close(self) -> None:
        """Ends everything and removes the data; the logs of the workers stay."""
        for worker in self.workers.values():
            worker.end()
        for proxy in self.proxies.values():
            await proxy.close()
        await asyncio.to_thread(self._remove)

    def process(self, name: str, copy: str, **variables: str) -> WorkerProcess:
        """A process of that worker, which is not started."""
        more = {ENV_PREFIX + variable: value for variable, value in variables.items()}
        if name in WITH_OWN_CLOCK and copy == "b" and FAKETIME.exists():
            self.clock(name).write_text("+0\n")
            more |= {
                "LD_PRELOAD": str(FAKETIME),
                "FAKETIME_TIMESTAMP_FILE": str(self.clock(name)),
                "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        return WorkerProcess(name, self._environment | more, self.directory, f"-{copy}")

    def clock(self, name: str) -> Path:
        """The file with the difference of the clock of the worker's copy `b`, in the form that libfaketime reads."""
        return self.directory / f"{name}-b.clock"

    async def start(self, worker: WorkerProcess) -> None:
        """Starts a process and waits until it takes part."""
        before = worker.count("worker_started")
        worker.start()
        await asyncio.to_thread(worker.wait_for, "worker_started", more_than=before)

    def copies_of(self, name: str) -> list[WorkerProcess]:
        return [worker for (of_name, _), worker in self.workers.items() if of_name == name]

    async def heal(self) -> list[str]:
        """Whatever a fault has left behind: everything runs again. The processes that had ended."""
        ended = []
        for proxy in self.proxies.values():
            proxy.heal()
        for folder in self.disks.values():
            (folder / "filler").unlink(missing_ok=True)
        for server in self.stack.status():
            if server.state == "paused":
                await asyncio.to_thread(self.stack.resume, server.name)
            if server.state == "stopped":
                ended.append(server.name)
                await asyncio.to_thread(self.stack.start, server.name)
        for (name, copy), worker in self.workers.items():
            if worker.running:
                worker.resume()
            else:
                ended.append(f"{name}-{copy}")
                await self.start(worker)
        return ended

    def settings_for(self, kind: type[S], **variables: str) -> S:
        """Settings that go past the proxies, for the test itself."""
        return settings_in(self.direct, kind, **variables)

    def settings_of(self, name: str) -> Any:
        """A worker's settings, past the proxies."""
        return self.settings_for(load_worker(name).settings)

    def store(self, name: str) -> AbstractAsyncContextManager[Any]:
        """Opens the read side of a worker's store; None if it has none."""
        return open_part(name, "store", self.settings_of(name))

    def links(self, name: str) -> AbstractAsyncContextManager[Any]:
        """Opens the link sets of a worker's store; None if it has none."""
        return open_part(name, "links", self.settings_of(name))

    async def keep_vectors(self) -> None:
        """Reads the vectors on the topics of embed, before some of them expire."""
        self.vectors |= await read_vectors(self.settings)

    async def run(self, *command: str) -> str:
        """Runs a `headrace` command to its end and returns what it prints."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
        headrace = Path(os.sys.executable).with_name("headrace")  # type: ignore[attr-defined]
        process = await asyncio.create_subprocess_exec(
            str(headrace), *command, env=environment | self.direct,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await asyncio.wait_for(process.communicate(), 300)
        assert process.returncode == 0, output.decode()
        return output.decode()

    async def _prepare(self, name: str) -> None:
        for part in ("store", "links", "tables"):
            async with open_part(name, part, self.settings_of(name)) as opened:
                if opened is not None:
                    await opened.prepare()

    async def _put_proxy_before(self, store: str) -> None:
        """The workers' variables lead to the proxy; those of the test lead to the store."""
        own = {name: value for name, value in self.direct.items() if name.startswith(f"{ENV_PREFIX}{store.upper()}__")}
        (port,) = {match[1] for value in own.values() for match in re.finditer(rf"{HOST}:(\d+)", value)}
        self.proxies[store] = between = FaultyProxy(int(port))
        await between.start()
        self._environment |= {
            name: value.replace(f"{HOST}:{port}", f"{HOST}:{between.port}") for name, value in own.items()
        }

    def _remove(self) -> None:
        self.stack.down()
        for folder in self.disks.values():
            subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)
        self.stack.destroy()

    def _mount_disks(self) -> None:
        """A small file system for each store, where the system allows one: it can be filled."""
        self.stack.data_dir.mkdir(parents=True, exist_ok=True)
        for store, size in DISKS.items():
            folder = home(self.stack.data_dir, store, None if store == "qdrant" else unprivileged())
            command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(folder)]
            if subprocess.run(command, check=False, capture_output=True).returncode == 0:
                self.disks[store] = folder
            else:
                self.without.append(f"no full disk of {store}: this system does not allow a mount")
