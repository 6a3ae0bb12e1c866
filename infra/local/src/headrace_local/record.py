"""`stack.json`: which servers this data directory has, their ports and their processes."""

import signal
from pathlib import Path

from pydantic import BaseModel, ValidationError

from headrace_local.errors import StackError
from headrace_local.process import Process
from headrace_local.settings_file import write_private


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
