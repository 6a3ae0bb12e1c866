"""A copy of the example under services/ is a worker of the product; nothing else has to change."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mutation.copies import SOURCES

ROOT = Path(__file__).parents[2]
NOT_SOURCES = shutil.ignore_patterns(".git", ".venv", ".headrace", ".*_cache", ".hypothesis", "__pycache__")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this source tree in which the example is a service."""
    tree = tmp_path_factory.mktemp("copy") / "tree"
    shutil.copytree(ROOT, tree, ignore=NOT_SOURCES)
    shutil.copytree(tree / "docs/example-sink", tree / "services/sqlite")
    return tree


@pytest.fixture(scope="module")
def environment(tree: Path) -> dict[str, str]:
    """The variables with which Python imports the copy's sources, and finds the example as an installed package."""
    layer = tree.parent / "installed"
    command = ["uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [sys.executable, "-m", *command, "--target", str(layer), str(tree / "services/sqlite")], check=True, timeout=120
    )
    sources = (path for pattern in SOURCES for path in tree.glob(pattern))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (layer, *sources)))}


def python(tree: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )


def test_the_contract_suite_and_every_list_of_workers_accept_the_copy(tree: Path, environment: dict[str, str]) -> None:
    page = python(tree, environment, "docs/settings_page.py")
    assert "`HEADRACE_SQLITE__PATH`" in page.stdout
    (tree / "docs/settings.md").write_text(page.stdout)
    suites = ["tests/contract", "tests/docs", "tests/infra", "services/sqlite"]
    done = python(
        tree, environment, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "sqlite or docs or infra", *suites
    )
    assert done.returncode == 0, done.stdout[-5000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 100


def test_the_direction_of_imports_is_checked_in_the_copy(tree: Path, environment: dict[str, str]) -> None:
    assert python(tree, environment, "infra/import_contracts.py").returncode == 0
    stage = tree / "services/sqlite/src/headrace_sqlite/stage.py"
    before = stage.read_text()
    stage.write_text(before + "\nimport headrace_cli\n")
    done = python(tree, environment, "infra/import_contracts.py")
    stage.write_text(before)
    assert done.returncode == 1
    assert "headrace_sqlite.stage -> headrace_cli" in done.stdout
