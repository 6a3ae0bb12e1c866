"""A copy of the project whose source files shadow the installed ones."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCES = ("schemas/src", "shared/*/src", "infra/local/src", "services/*/src")


@contextmanager
def project_copy(root: Path) -> Iterator[Path]:
    """A directory with what git tracks, and what it does not ignore, as it is in the working tree."""
    with tempfile.TemporaryDirectory(prefix="headrace-mutants-") as name:
        copy = Path(name)
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=root,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for file in filter(None, listed.split("\0")):
            if (root / file).is_file():
                (copy / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / file, copy / file)
        yield copy


def environment(copy: Path) -> dict[str, str]:
    """The environment in which Python imports the copy's packages, in child processes too."""
    sources = [str(path) for pattern in SOURCES for path in sorted(copy.glob(pattern))]
    return os.environ | {"PYTHONPATH": os.pathsep.join(sources), "PYTHONDONTWRITEBYTECODE": "1"}
