"""A command imports the libraries that it needs, so that it answers at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from headrace_cli.command_help import help_text
from headrace_cli.main import Commands

CLIENTS = {
    "asyncpg",
    "elasticsearch",
    "faststream",
    "numpy",
    "onnxruntime",
    "opentelemetry",
    "pyarrow",
    "qdrant_client",
}
SETTINGS = {"headrace_local", "headrace_worker", "psutil", "pydantic"}
NO_KAFKA = {"HEADRACE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"}


def imported(directory: Path, *arguments: str) -> set[str]:
    """The packages that the command imports, called in an empty directory where no server runs."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "headrace_cli", *arguments],
        cwd=directory,
        env=inherited | NO_KAFKA,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert lines, done.stderr
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def test_the_help_imports_no_command_and_no_settings(tmp_path: Path) -> None:
    assert not (CLIENTS | SETTINGS | {"aiokafka", "httpx"}) & imported(tmp_path, "--help")


@pytest.mark.parametrize(
    "call", [["status"], ["topics", "apply"], ["publish", "rows.jsonl", "--kind", "product"]], ids=lambda call: call[0]
)
def test_a_command_imports_no_library_that_it_does_not_use(tmp_path: Path, call: list[str]) -> None:
    (tmp_path / "rows.jsonl").write_text('{"product_id": "p", "title": "Lamp", "version": 1}\n')
    assert not CLIENTS & imported(tmp_path, *call)


def test_the_help_says_of_each_command_what_its_own_help_says() -> None:
    commands = Commands(name="headrace")
    for name in commands.list_commands(None):
        command = commands.get_command(None, name)
        assert help_text(command.callback.__module__) == command.help, name
