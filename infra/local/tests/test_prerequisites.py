"""Without a JDK or Maven the error names the missing program and the command that installs it."""

from pathlib import Path

import pytest

from headrace_local.errors import StackError
from headrace_local.prerequisites import missing_prerequisites
from headrace_local.stack import Stack


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory on the path, with apt-get and nothing else."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    write(directory / "apt-get", "")
    return directory


def write(program: Path, body: str) -> None:
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)


def test_each_missing_program_is_a_line_with_the_command_that_installs_it(programs: Path) -> None:
    lines = missing_prerequisites()
    assert [line.split(":")[0] for line in lines] == ["no JDK found", "no Maven (mvn) found"]
    assert all("apt-get install -y openjdk-17-jdk-headless maven" in line for line in lines)


def test_an_old_jdk_is_not_enough_and_a_new_one_is(programs: Path) -> None:
    write(programs / "mvn", "")
    write(programs / "javac", "")
    write(programs / "java", """echo 'openjdk version "11.0.2" 2019-01-15' >&2""")
    assert [line.split(":")[0] for line in missing_prerequisites()] == ["the JDK found is version 11"]
    write(programs / "java", """echo 'openjdk version "21" 2023-09-19' >&2""")
    assert missing_prerequisites() == []


def test_up_checks_the_prerequisites_first(programs: Path, tmp_path: Path) -> None:
    with pytest.raises(StackError, match="no JDK found"):
        Stack(tmp_path / "stack").up()
    assert not (tmp_path / "stack").exists()
