"""`stack.json`: which servers this data directory has, their ports and their processes."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ValidationError

from headrace_local.errors import StackError
from headrace_local.process import Process


class Entry(BaseModel):
    """One server: its ports by purpose, and the process that was last started for it."""

    ports: dict[str, int]
    pid: int | None = None
    created: float = 0.0
    stop_signal: int = signal.SIGTERM

    @property
    def process(self) -> Process | None:
        return Process(self.pid, self.created) if self.pid is not None else None

    def is_alive(self) -> bool:
        return self.process is not None and self.process.find() is not None


class Record(BaseModel):
    """The content of `stack.json`."""

    servers: dict[str, Entry] = {}


def read_record(path: Path) -> Record:
    """What was written, or an empty record.

    Raises
    ------
    StackError
        If the file is there and cannot be understood: it may name servers that still run.
    """
    if not path.exists():
        return Record()
    try:
        return Record.model_validate_json(path.read_bytes())
    except ValidationError:
        raise StackError(f"{path} is damaged; end the servers it names, remove it and start again") from None


def write_record(path: Path, record: Record) -> None:
    write_private(path, record.model_dump_json(indent=2) + "\n")


def write_settings(path: Path, settings: Mapping[str, str]) -> None:
    """`stack.env`: one NAME=value a line, readable only by its owner because it contains a password."""
    write_private(path, "".join(f"{name}={value}\n" for name, value in sorted(settings.items())))


def read_settings(path: Path) -> dict[str, str]:
    """What `write_settings` wrote; empty if there is no such file."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {name: value for name, _, value in (line.partition("=") for line in lines) if value}


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step, with mode 0600."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)
