"""A copy of the project whose source files shadow the installed ones, with servers of its own."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path

from headrace_local.stack import Stack

SOURCES = ("tests", "schemas/src", "shared/*/src", "infra/local/src", "services/*/src")


@dataclass(frozen=True, slots=True)
class Copy:
    """`root`: the project's files. `servers`: the directory of the servers that all test runs in the copy share."""

    root: Path
    servers: Path

    @property
    def sources(self) -> list[str]:
        """The directories of the copy's packages."""
        return [str(path) for pattern in SOURCES for path in sorted(self.root.glob(pattern))]

    def write(self, file: str, text: str) -> None:
        """Replaces a file's text. Python compares times by the second, so its compiled file has to go as well."""
        path = self.root / file
        path.write_text(text)
        if path.suffix == ".py":
            Path(cache_from_source(path)).unlink(missing_ok=True)

    def forget_servers(self) -> None:
        """Ends the servers and removes their data. The next test run starts new ones."""
        if self.servers.exists():
            Stack(self.servers).destroy()


@contextmanager
def project_copy(root: Path) -> Iterator[Copy]:
    """What git tracks, and what it does not ignore, as it is in the working tree."""
    with tempfile.TemporaryDirectory(prefix="headrace-mutants-") as name:
        copy = Copy(Path(name) / "project", Path(name) / "servers")
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=root,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for file in filter(None, listed.split("\0")):
            if (root / file).is_file():
                (copy.root / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / file, copy.root / file)
        try:
            yield copy
        finally:
            copy.forget_servers()
