"""A PostgreSQL server with `ssl = on`, from Debian's packages: the one that this project installs has no TLS."""

import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.authority import Authority
from harness.folders import reachable_folder
from headrace_local.ports import HOST, free_ports
from headrace_local.process import launch
from headrace_local.server import Command, base_environment
from headrace_local.startup import await_ready
from headrace_local.system_user import run_as, unprivileged

PASSWORD = "canary-of-a-password-91c0"
PACKAGES = Path("/usr/lib/postgresql")
ACCESS = """
hostssl all certified 127.0.0.1/32 cert
hostssl all all       127.0.0.1/32 scram-sha-256
local   all all                    trust
"""


def programs() -> Path | None:
    """The folder of the newest server that Debian has installed; None without one."""
    found = [folder for folder in PACKAGES.glob("*/bin") if (folder / "postgres").exists()]
    return max(found, key=lambda folder: int(folder.parent.name), default=None)


@dataclass(frozen=True)
class SecuredPostgres:
    """A running server, which takes connections with TLS only. The users of `run` have the password."""

    port: int
    authority: Authority
    _data: Path
    _programs: Path

    def dsn(self, user: str = "headrace", password: str | None = PASSWORD, host: str = HOST, **options: str) -> str:
        """An address; `options` are those of its query."""
        account = user if password is None else f"{user}:{password}"
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"postgresql://{account}@{host}:{self.port}/postgres" + (f"?{query}" if query else "")

    def run(self, statement: str) -> None:
        """Runs a statement as the superuser, over the socket. Raises CalledProcessError."""
        _run([self._programs / "psql", "-qX", "-h", self._data, "-p", self.port, "-U", "postgres"], statement)

    def present(self, name: str, days: int = 30) -> None:
        """The server presents a new certificate of this authority from now on."""
        _install(self._data, self.authority, name, days)
        self.run("SELECT pg_reload_conf()")


@contextmanager
def secured_postgres(authority: Authority, binaries: Path) -> Iterator[SecuredPostgres]:
    """The server, until the end of the block."""
    with reachable_folder() as home:
        yield from _running(home, authority, binaries)


def _running(home: Path, authority: Authority, binaries: Path) -> Iterator[SecuredPostgres]:
    (port,), user, data = free_ports(1), unprivileged(), home / "data"
    data.mkdir(mode=0o700)
    if user:
        user.owns(data)
    _run([binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--locale=C", "--encoding=UTF8", "-N"])
    (data / "pg_hba.conf").write_text(ACCESS)
    (data / "authority.pem").write_text(authority.file.read_text())
    with (data / "postgresql.conf").open("a") as settings:
        settings.write(
            f"listen_addresses = '{HOST}'\nport = {port}\nunix_socket_directories = '{data}'\nssl = on\n"
            "ssl_cert_file = 'node.crt'\nssl_key_file = 'node.key'\nssl_ca_file = 'authority.pem'\n"
        )
    _install(data, authority, "postgres", 30)
    log = home / "server.log"
    command = Command([str(binaries / "postgres"), "-D", str(data)], base_environment(home), user, signal.SIGINT)
    process = launch(command, home, log)
    running = SecuredPostgres(port, authority, data, binaries)
    try:
        await_ready(_Answering(running), process, log, threading.Event())  # type: ignore[arg-type]
        for name, options in {"headrace": "", "certified": "", "expired": "VALID UNTIL '2020-01-01'"}.items():
            running.run(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}' {options}")
        yield running
    finally:
        process.kill()


class _Answering:
    name = "postgres"

    def __init__(self, running: SecuredPostgres) -> None:
        self._running = running

    def is_ready(self) -> bool:
        try:
            self._running.run("SELECT 1")
        except subprocess.CalledProcessError:
            return False
        return True


def _install(data: Path, authority: Authority, name: str, days: int) -> None:
    """The server reads a key only if nobody else can."""
    authority.sign(name, days=days)
    for suffix in ("crt", "key"):
        file = data / f"node.{suffix}"
        file.write_bytes((authority.home / f"{name}.{suffix}").read_bytes())
        file.chmod(0o600)
    if user := unprivileged():
        user.owns(data)


def _run(argv: list[object], text: str = "") -> None:
    # cwd: the programs ask where they are, and the user may not enter the folder of the tests.
    subprocess.run(
        [str(part) for part in argv], input=text, capture_output=True, text=True, cwd="/", check=True, timeout=60,
        env=base_environment(Path("/")), **run_as(unprivileged()),
    )  # fmt: skip
