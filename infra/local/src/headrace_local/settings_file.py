"""`stack.env`: the settings of the servers of a data directory, one NAME=value a line.

Every command reads it, so it imports nothing of the servers.
"""

import os
from collections.abc import Mapping
from pathlib import Path


def write_settings(path: Path, settings: Mapping[str, str]) -> None:
    """The file is readable only by its owner because it contains a password."""
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
