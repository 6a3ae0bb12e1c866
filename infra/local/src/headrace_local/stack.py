"""The servers of one data directory: starts and stops them, and causes faults for tests.

    stack = Stack(Path(".headrace"))
    stack.up()
    stack.kill("kafka")
    stack.start("kafka")  # same port, same data
    stack.down()

All calls block; `up` starts the servers in threads of its own. Async callers use `asyncio.to_thread`.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from headrace_local.errors import StackError
from headrace_local.known_servers import ON_REQUEST, Observation, Options, build, kafka_names, port_names, server_names
from headrace_local.otlp import ENDPOINT
from headrace_local.ports import free_ports, is_free
from headrace_local.prerequisites import missing_prerequisites
from headrace_local.process import Process
from headrace_local.record import Entry, Record, read_record, write_record
from headrace_local.server import Server
from headrace_local.settings_file import read_settings, write_settings
from headrace_local.startup import Ended, await_ready, launch_server
from headrace_local.system_user import forget

STOP_TIMEOUT = 20.0
HASTY_TIMEOUT = 2.0
LOCK_TIMEOUT = 600.0
ON_JAVA = {"kafka", "elasticsearch"}
DEFAULT_DATA_DIR = Path(".headrace")

Progress = Callable[[str, str, float], None]
State = Literal["running", "paused", "stopped"]


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One server as it is now; `ports` by purpose, the one for clients first."""

    name: str
    state: State
    ports: Mapping[str, int]
    pid: int | None


class Stack:
    """The servers of one directory, which records their data, ports and processes.

    Parameters
    ----------
    data_dir
        Contains each server's data and log, `stack.env` (HEADRACE_ settings) and `stack.json` (ports, processes).
    kafka_nodes
        1 names the server `kafka`; 3 names them `kafka-1` to `kafka-3`, replicated, for failover.
    services
        Start only these, by name; all by default, `otlp` only with `observation`.
    triton_repository
        A Triton model repository; given, `triton` is started too.
    observation
        Given, `prometheus`, `targets` (finds the workers for it) and `otlp` (receives traces) are started too.
    """

    def __init__(
        self,
        data_dir: Path = DEFAULT_DATA_DIR,
        *,
        kafka_nodes: Literal[1, 3] = 1,
        services: Collection[str] | None = None,
        triton_repository: Path | None = None,
        observation: Observation | None = None,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self._options = Options(triton_repository.absolute() if triton_repository else None, observation)
        self._kafka_names = kafka_names(kafka_nodes)
        default = server_names(kafka_nodes, self._options)
        known = list(dict.fromkeys([*default, *ON_REQUEST]))
        if unknown := sorted(set(services or ()) - set(known)):
            raise StackError(f"no server named {', '.join(unknown)}; there are {', '.join(known)}")
        self._names = [name for name in known if name in (default if services is None else services)]
        self._writing = threading.Lock()
        self._cancelled = threading.Event()

    def up(self, progress: Progress = lambda name, state, seconds: None) -> dict[str, str]:
        """Start what does not run yet, all at once, and write `stack.env`.

        `progress(name, state, seconds)` is called from several threads with the states "installing",
        "preparing", "starting", "ready", "running" (it already was) and "failed", and the seconds since the call.

        Returns
        -------
        dict
            The HEADRACE_ settings in `stack.env`.

        Raises
        ------
        StackError
            With one line for each server that failed; the others are left running.
        """
        self._check_prerequisites()
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self._locked():
            record = self._with_ports(self._read())
            servers = [self._server(name, record) for name in self._names]
            began = time.monotonic()

            def start(server: Server) -> StackError | None:
                def report(state: str) -> None:
                    progress(server.name, state, time.monotonic() - began)

                try:
                    self._start(server, report)
                except StackError as error:
                    report("failed")
                    return error
                return None

            with ThreadPoolExecutor(len(servers)) as threads:
                try:
                    errors = [error for error in threads.map(start, servers) if error]
                except KeyboardInterrupt:
                    self._cancelled.set()
                    raise
            settings = {name: value for server in servers for name, value in server.settings().items()}
            if errors:
                raise StackError("\n".join(str(error) for error in errors))
            settings = self._written_before(record) | settings
            write_settings(self.settings_path, settings)
            return settings

    def down(self) -> None:
        """Stop every recorded server, paused ones too. Data and ports are kept."""
        self._stop_all(STOP_TIMEOUT)

    def destroy(self) -> None:
        """Stop every server, kill those that take longer than two seconds, and remove the data directory."""
        self._stop_all(HASTY_TIMEOUT)
        forget(self.data_dir)

    def status(self) -> list[ServerStatus]:
        """All recorded servers, started by this object or not."""
        return [_status(name, entry) for name, entry in self._read().servers.items()]

    def start(self, name: str) -> None:
        """Start one server on its old ports and data; returns when it serves clients. A running server stays as it is.

        Raises
        ------
        StackError
            If it does not start, or another program has taken its port.
        """
        with self._locked():
            self._entry(name)
            self._start(self._server(name, self._read()), lambda state: None)

    def stop(self, name: str) -> None:
        """Stop one server as an operator would, and wait until it has ended."""
        with self._locked():
            self._stop(name, STOP_TIMEOUT)

    def kill(self, name: str) -> None:
        """SIGKILL for all processes of one server; returns once they are gone. Does nothing if it does not run."""
        if process := self._entry(name).process:
            process.kill()

    def pause(self, name: str) -> None:
        """SIGSTOP: connections stay open and are accepted by the kernel, and nothing answers."""
        self._process(name).pause()

    def resume(self, name: str) -> None:
        """SIGCONT after `pause`."""
        self._process(name).resume()

    def pid(self, name: str) -> int:
        """The id of a running server's main process."""
        return self._process(name).pid

    def log_path(self, name: str) -> Path:
        """The file that a server's output is appended to."""
        return self.data_dir / name / "server.log"

    @property
    def settings_path(self) -> Path:
        return self.data_dir / "stack.env"

    @property
    def _record_path(self) -> Path:
        return self.data_dir / "stack.json"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        path = self.data_dir / ".lock"
        try:
            with FileLock(path, timeout=LOCK_TIMEOUT):
                yield
        except Timeout:
            raise StackError(f"another command has locked {path}; wait for it or end it") from None

    def _check_prerequisites(self) -> None:
        wanted = {name.partition("-")[0] for name in self._names}
        if wanted & ON_JAVA and (missing := missing_prerequisites()):
            raise StackError("\n".join(missing))

    def _read(self) -> Record:
        return read_record(self._record_path)

    def _entry(self, name: str) -> Entry:
        entry = self._read().servers.get(name)
        if entry is None:
            raise StackError(f"no server named {name} in {self.data_dir}; start it with `headrace up`")
        return entry

    def _process(self, name: str) -> Process:
        process = self._entry(name).process
        if process is None or process.find() is None:
            raise StackError(f"{name} is not running")
        return process

    def _with_ports(self, record: Record) -> Record:
        """Give each server its old ports, or new ones if another program has taken them."""
        alive = {name for name, entry in record.servers.items() if entry.is_alive()}
        if strangers := sorted(name for name in alive if name.startswith("kafka") and name not in self._kafka_names):
            raise StackError(f"{self.data_dir} runs {', '.join(strangers)}; `headrace down` before changing the nodes")
        for name in self._names:
            entry = record.servers.get(name)
            if name in alive or (entry and all(is_free(port) for port in entry.ports.values())):
                continue
            if entry and alive.intersection(self._kafka_names) and name in self._kafka_names:
                raise StackError(f"{name}: another program has taken its port; `headrace down`, then `headrace up`")
            purposes = port_names(name)
            record.servers[name] = Entry(ports=dict(zip(purposes, free_ports(len(purposes)), strict=True)))
        write_record(self._record_path, record)
        return record

    def _written_before(self, record: Record) -> dict[str, str]:
        """The settings in `stack.env`, without the address of a receiver of traces that runs no longer."""
        settings = read_settings(self.settings_path)
        receiver = record.servers.get("otlp")
        if receiver and not receiver.is_alive() and settings.get(ENDPOINT, "").endswith(f":{receiver.ports['http']}"):
            del settings[ENDPOINT]
        return settings

    def _server(self, name: str, record: Record) -> Server:
        return build(name, record, self.data_dir, self._kafka_names, self._options)

    def _start(self, server: Server, report: Callable[[str], None]) -> None:
        log = self.log_path(server.name)
        entry = self._entry(server.name)
        if entry.process is not None and entry.is_alive():
            entry.process.resume()
            # A signal that was just sent may be about to end it; then it is started again.
            with suppress(Ended):
                await_ready(server, entry.process, log, self._cancelled)
                report("running")
                return
        process = launch_server(server, entry.ports.values(), log, report)
        self._remember(server.name, process, server.command().stop_signal)
        await_ready(server, process, log, self._cancelled)
        report("ready")

    def _stop_all(self, timeout: float) -> None:
        if not self.data_dir.exists():
            return
        with self._locked():
            names = list(self._read().servers)
            with ThreadPoolExecutor(max(len(names), 1)) as threads:
                list(threads.map(lambda name: self._stop(name, timeout), names))

    def _stop(self, name: str, timeout: float) -> None:
        entry = self._entry(name)
        if entry.process is not None:
            entry.process.stop(entry.stop_signal, timeout)

    def _remember(self, name: str, process: Process, stop_signal: int) -> None:
        with self._writing:
            record = self._read()
            ports = record.servers[name].ports
            record.servers[name] = Entry(ports=ports, pid=process.pid, created=process.created, stop_signal=stop_signal)
            write_record(self._record_path, record)


def _status(name: str, entry: Entry) -> ServerStatus:
    if entry.process is None or not entry.is_alive():
        return ServerStatus(name, "stopped", entry.ports, None)
    return ServerStatus(name, "paused" if entry.process.is_paused() else "running", entry.ports, entry.pid)
