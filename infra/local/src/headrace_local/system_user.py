"""Elasticsearch and PostgreSQL refuse to run as root. Chooses the user that they run as and checks its access."""

import hashlib
import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace_local.errors import StackError

NAME = "nobody"
STATE = Path("/var/lib/headrace")


@dataclass(frozen=True, slots=True)
class SystemUser:
    """An unprivileged user of this system."""

    uid: int
    gid: int

    def can_reach(self, path: Path) -> bool:
        """Whether every directory from the root down to `path` lets this user through."""
        resolved = path.resolve()
        return all(self._may_enter(part) for part in (resolved, *resolved.parents) if part.exists())

    def owns(self, path: Path) -> None:
        """Make this user the owner of `path` and everything below it."""
        for directory, _, files in os.walk(path):
            os.chown(directory, self.uid, self.gid)
            for name in files:
                os.chown(os.path.join(directory, name), self.uid, self.gid, follow_symlinks=False)

    def _may_enter(self, path: Path) -> bool:
        status = path.stat()
        return bool(status.st_mode & (0o100 if status.st_uid == self.uid else 0o001))


def unprivileged() -> SystemUser | None:
    """The user for servers that refuse root, or None where this process is an ordinary user's anyway."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        raise StackError(f"running as root needs a user named {NAME}; create it, or run as an ordinary user") from None
    return SystemUser(entry.pw_uid, entry.pw_gid)


def run_as(user: SystemUser | None) -> dict[str, Any]:
    """The arguments of `subprocess.run` to become that user, without the groups of this process."""
    return {} if user is None else {"user": user.uid, "group": user.gid, "extra_groups": []}


def home(data_dir: Path, name: str, user: SystemUser | None) -> Path:
    """The directory of one server, `data_dir/name`, made if missing.

    If the user cannot reach it (a data directory inside root's closed home), it is a link to a directory for the
    same purpose under /var/lib/headrace.

    Raises
    ------
    StackError
        If the directory exists and the user cannot reach it.
    """
    place = data_dir / name
    if user is None or user.can_reach(data_dir):
        place.mkdir(mode=0o755, exist_ok=True)
        return place
    if place.exists() and not place.is_symlink():
        raise StackError(f"user {NAME}, as whom {name} runs, cannot reach {place}; chmod o+x its parent directories")
    elsewhere = _elsewhere(data_dir) / name
    elsewhere.mkdir(mode=0o755, parents=True, exist_ok=True)
    if not place.is_symlink():
        place.symlink_to(elsewhere)
    return elsewhere


def forget(data_dir: Path) -> None:
    """Remove a data directory and the directories that `home` has made elsewhere for it."""
    shutil.rmtree(_elsewhere(data_dir), ignore_errors=True)
    shutil.rmtree(data_dir, ignore_errors=True)


def _elsewhere(data_dir: Path) -> Path:
    return STATE / hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:16]
