"""Server programs in the user's cache: Maven downloads them once, they are checked, and renamed into place."""

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path

from filelock import FileLock

from headrace_local.errors import StackError
from headrace_local.system_user import SystemUser, unprivileged

SHARED = Path("/var/cache/headrace")


def cache_dir() -> Path:
    """`$XDG_CACHE_HOME/headrace` or `~/.cache/headrace`.

    As root, where servers run as another user who cannot enter root's home, it is /var/cache/headrace.
    """
    own = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headrace"
    user = unprivileged()
    return own if user is None or _open_to(own, user) else SHARED


def cached(name: str, fill: Callable[[Path], None]) -> Path:
    """The cache's directory `name`, made by `fill` the first time.

    `fill` writes into a temporary directory that is renamed when complete, under a lock. So neither an interruption
    nor a second download at the same time leaves an incomplete directory.
    """
    root = cache_dir()
    place = root / name
    if place.is_dir():
        return place
    root.mkdir(mode=0o755, parents=True, exist_ok=True)
    with FileLock(root / f"{name}.lock"):
        if not place.is_dir():
            with tempfile.TemporaryDirectory(dir=root, prefix=f"{name}.") as scratch:
                filled = Path(scratch) / name
                filled.mkdir(mode=0o755)
                fill(filled)
                filled.rename(place)
    return place


def fetch_with_maven(server: str, into: Path) -> None:
    """Download what `maven/<server>.xml` names, and compare every file with `maven/<server>.sha256`.

    Maven checks the checksums that the repository serves. Ours check that the bytes are those that were tested.

    Raises
    ------
    StackError
        If Maven fails or a file is missing, superfluous or different.
    """
    package = files("headrace_local") / "maven"
    with as_file(package / f"{server}.xml") as pom:
        command = ["mvn", "-B", "-q", "--strict-checksums", "-f", str(pom), f"-DoutputDirectory={into}"]
        done = subprocess.run([*command, "dependency:copy-dependencies"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = next((line for line in done.stdout.splitlines() if "ERROR" in line), "see mvn's output")
        raise StackError(f"downloading {server} failed: {reason[:300]}")
    lines = (package / f"{server}.sha256").read_text().splitlines()
    expected = {name: digest for digest, name in (line.split() for line in lines)}
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in into.iterdir()}
    if found != expected:
        wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        raise StackError(f"downloading {server} gave other files than expected: {', '.join(wrong[:5])}")


def _open_to(path: Path, user: SystemUser) -> bool:
    existing = next(parent for parent in (path, *path.parents) if parent.exists())
    return user.can_reach(existing)
