"""The packages declare what they import, and the lock files pin the declared dependencies.

requirements.txt has those at runtime, requirements-dev.txt those for development.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.txt", "requirements-dev.txt")
PROJECTS = sorted(
    file.parent.relative_to(ROOT)
    for pattern in ("schemas", "shared/*", "infra/local", "services/*", "docs/example-sink")
    for file in ROOT.glob(f"{pattern}/pyproject.toml")
)
PARTS = {"pydantic-core": "pydantic"}
"""Distributions that a package may import if it declares another one, which requires them in a fixed version."""
BUILT_IN = {*sys.stdlib_module_names, "triton_python_backend_utils"}
"""Modules that no distribution contains. Triton provides its module to the models that it runs."""
DOCKERFILE = (ROOT / "infra/docker/Dockerfile").read_text()


def normalized(requirement: str) -> str:
    """The package's name, without extras, version and marker (PEP 503)."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement, maxsplit=1)[0]).lower()


def declared(pyproject: Path) -> set[str]:
    """What a package declares, without the packages of this project."""
    names = map(normalized, tomllib.loads(pyproject.read_text())["project"].get("dependencies", []))
    return {name for name in names if not name.startswith("headrace-")}


def imported(source: Path) -> Iterator[str]:
    """The top module of every absolute import in the Python files of a folder."""
    for file in source.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0]


def pinned(lock: str) -> set[str]:
    return set(map(normalized, re.findall(r"^[\w.-]+(?===)", (ROOT / lock).read_text(), re.M)))


@pytest.fixture
def runtime() -> set[str]:
    """What the packages of the workspace declare."""
    members = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["workspace"]["members"]
    return {name for member in members for folder in ROOT.glob(member) for name in declared(folder / "pyproject.toml")}


@pytest.mark.parametrize("project", PROJECTS, ids=str)
def test_a_package_declares_each_distribution_that_it_imports(project: Path) -> None:
    own = tomllib.loads((ROOT / project / "pyproject.toml").read_text())["project"]
    allowed = {normalized(name) for name in (own["name"], *own["dependencies"])}
    allowed |= {part for part, whole in PARTS.items() if whole in allowed}
    distributions = packages_distributions()
    undeclared = {
        module
        for module in set(imported(ROOT / project / "src")) - BUILT_IN
        if not allowed & set(map(normalized, distributions.get(module, [module])))
    }
    assert undeclared == set()


def test_each_declared_dependency_is_pinned_in_the_lock_file_of_its_use(runtime: set[str]) -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    assert runtime - pinned("requirements.txt") == set()
    assert set(map(normalized, groups["dev"])) - pinned("requirements-dev.txt") - pinned("requirements.txt") == set()


def test_runtime_and_development_dependencies_have_separate_lock_files() -> None:
    assert pinned("requirements.txt") & pinned("requirements-dev.txt") == set()
    assert pinned("requirements.txt") & {"pytest", "mypy", "ruff", "playwright", "hypothesis", "uv"} == set()


@pytest.mark.parametrize("lock", [*LOCKS, "infra/uv.txt"])
def test_every_pin_has_hashes_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    pins = re.findall(r"^[\w.-]+==(?:.*\\\n)*.*", text, re.M)
    assert pins
    assert [pin.splitlines()[0] for pin in pins if "--hash=sha256:" not in pin] == []
    assert "://" not in text


def test_the_installer_is_the_version_that_the_lock_file_pins() -> None:
    assert (ROOT / "infra/uv.txt").read_text() in (ROOT / "requirements-dev.txt").read_text()


def test_the_image_installs_only_runtime_dependencies() -> None:
    copied_or_constraint = re.findall(r"(\S+) requirements-dev\.txt", DOCKERFILE)
    assert copied_or_constraint == ["requirements.txt", "--build-constraint"]
    assert "uv pip sync --require-hashes requirements.txt" in DOCKERFILE
    assert "uninstall" not in DOCKERFILE
    copied = re.findall(r"^COPY --from=build \S+ (\S+)|^COPY --from=build --chown=\S+ (\S+)", DOCKERFILE, re.M)
    assert "/opt/installer" not in str(copied)
