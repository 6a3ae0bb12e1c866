"""Everything that the pages name exists: files, commands, make targets, settings, metrics, code."""

import re
from pathlib import Path

import pytest

from headrace_cli.environment import ACTOR
from headrace_cli.main import COMMANDS, installed_commands
from headrace_schemas.headers import DEAD_REASONS
from headrace_sqlite.settings import SqliteWorkerSettings
from headrace_worker.settings import variable_names
from headrace_worker.worker import known_variables

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs/example-sink"
FOLDERS = (ROOT / "docs", ROOT / "docs/runbooks")
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(page for folder in FOLDERS for page in folder.glob("*.md")),
]
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@pages
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pages
def test_every_folder_and_file_of_the_project_that_is_named_is_there(page: Path) -> None:
    named = set(re.findall(r"\b((?:schemas|shared|services|infra|tests|docs|benchmarks)/[\w./-]*\w)", page.read_text()))
    assert {path for path in named if not any((base / path).exists() for base in (ROOT, page.parent))} == set()


@pages
def test_every_command_and_every_make_target_exists(page: Path) -> None:
    text = page.read_text()
    commands = set(re.findall(r"(?:`|bin/|run )headrace ([a-z][a-z-]*)", text))
    assert commands - {*COMMANDS, *installed_commands()} == set()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.M)) - targets == set()


@pages
def test_every_variable_is_a_setting(page: Path) -> None:
    named = set(re.findall(r"HEADRACE_\w+[A-Z]", page.read_text()))
    assert named - known_variables() - set(variable_names(SqliteWorkerSettings)) - {ACTOR} == set()


def test_the_readme_shows_output_of_the_run_in_the_demo_page() -> None:
    shown = re.search(r"<!-- demo output -->\n```\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert shown is not None
    whole = (ROOT / "docs/demo.md").read_text().splitlines()
    assert [line for line in shown[1].splitlines() if line not in whole] == []


def test_every_reason_of_a_dead_letter_is_listed() -> None:
    page = (ROOT / "docs/guarantees.md").read_text()
    assert [reason for reason in DEAD_REASONS if f"`{reason}`" not in page] == []


def test_the_code_in_contributing_is_that_of_the_example() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    sources = [path.read_text() for path in EXAMPLE.rglob("*.py")] + [(EXAMPLE / "pyproject.toml").read_text()]
    blocks = re.findall(r"```(?:python|toml)\n(.*?)```", text, re.S)
    assert len(blocks) >= 5
    assert [block for block in blocks if not any(block in source for source in sources)] == []


@pages
def test_every_test_that_is_named_exists(page: Path) -> None:
    files = [*ROOT.glob("tests/**/test_*.py"), *ROOT.glob("*/**/tests/test_*.py")]
    written = {name for file in files for name in re.findall(r"def (test_\w+)", file.read_text())}
    assert set(re.findall(r"`(test_\w+)`", page.read_text())) - written == set()


def test_every_file_with_a_long_test_is_listed() -> None:
    """CONTRIBUTING.md lists the files with tests that `make test` leaves out."""
    section = (ROOT / "CONTRIBUTING.md").read_text().split("## Tests that only `make test-long` runs")[1]
    listed = set(re.findall(r"`([\w/]+\.py)`", section.split("\n## ")[0]))
    files = [*ROOT.glob("tests/**/test_*.py"), *ROOT.glob("*/**/tests/test_*.py")]
    marked = {str(file.relative_to(ROOT)) for file in files if f"mark.{'long'}" in file.read_text()}
    assert marked - {"tests/docs/test_pages.py"} <= listed
