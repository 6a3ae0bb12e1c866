"""A copy of the project whose source files shadow the installed ones, with servers of its own."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from headrace_local.stack import Stack

SOURCES = ("tests", "schemas/src", "shared/*/src", "infra/local/src", "services/*/src")


@dataclass(frozen=True, slots=True)
class Copy:
    """`root`: the project's files. `servers`: the directory of the servers that all test runs in the copy share."""

    root: Path
    servers: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which Python imports the copy's packages, in child processes too."""
        sources = [str(path) for pattern in SOURCES for path in sorted(self.root.glob(pattern))]
        return os.environ | {
            "PYTHONPATH": os.pathsep.join(sources),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TEST_STACK": str(self.servers),
        }

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
