"""The commands of the README's section about your own catalogue work."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from harness.servers import SERVERS, Servers

ROOT = Path(__file__).parents[2]
SECTION = re.search(r"## Use it for your own catalogue\n(.*?)\n### ", (ROOT / "README.md").read_text(), re.S)
assert SECTION is not None
FIRST, SECOND, *_ = re.findall(r"```\n(.*?)```", SECTION[1], re.S)
COMMAND = ".venv/bin/headrace "
HEADRACE = Path(sys.executable).with_name("headrace")
SERVERS_OWN = {"up", "down"}
"""Commands of the README for servers; this test uses the servers of the session."""


@pytest.fixture(scope="module")
def environment(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a terminal after `headrace up`, with its own topics and stores."""
    unique = uuid4().hex[:8]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    own = {
        "HEADRACE_TOPIC_PREFIX": f"readme-{unique}.",
        "HEADRACE_NAMESPACE": f"readme_{unique}",
        "HEADRACE_CACHE_DIR": str(tmp_path_factory.mktemp("vectors")),
        "COLUMNS": "200",
    }
    return kept | dict(servers.need(*SERVERS)) | own


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readme")


@pytest.fixture(scope="module")
def running_work(environment: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Runs the first block: topics, stores and all workers. The workers run during the second block."""
    *prepare, work = commands(FIRST)
    assert work == ["work"]
    for arguments in prepare:
        run(arguments, environment, folder)
    with (folder / "workers.log").open("wb") as log:
        process = subprocess.Popen([HEADRACE, *work], env=environment, cwd=folder, stdout=log, stderr=log)
    yield process
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0


def test_a_file_is_published_found_and_deleted_as_in_the_readme(
    running_work: subprocess.Popen[bytes], environment: dict[str, str], folder: Path
) -> None:
    rows = [line for line in SECOND.splitlines() if line.startswith("{")]
    (folder / "products.jsonl").write_text("\n".join(rows) + "\n")
    answers = {}
    for arguments in commands(SECOND):
        if "gone.txt" in arguments:
            (folder / "gone.txt").write_text(found(r"\$ echo (\S+) > gone.txt", SECOND) + "\n")
        answers[shlex.join(arguments)] = run(arguments, environment, folder)
    searches = [answer for line, answer in answers.items() if line.startswith("search")]
    assert len(searches) == 2
    assert all("b-750" in answer for answer in searches)

    run(["wait"], environment, folder)
    for store in ("qdrant", "pgvector", "elasticsearch"):
        left = run(["search", "Glass bottle 0.5 l Kettle", "--in", store, "--limit", "100"], environment, folder)
        assert "b-500" not in left
    assert running_work.poll() is None


def commands(block: str) -> list[list[str]]:
    """Returns the arguments of each `headrace` call of a block, except those that start and stop servers."""
    lines = (line.removeprefix("$ ").partition("  #")[0] for line in block.splitlines())
    calls = [shlex.split(line.removeprefix(COMMAND)) for line in lines if line.startswith(COMMAND)]
    return [call for call in calls if call[0] not in SERVERS_OWN]


def run(arguments: list[str], environment: dict[str, str], folder: Path) -> str:
    """Runs a command and returns its output. Fails with its errors unless the exit status is 0."""
    done = subprocess.run(
        [HEADRACE, *arguments], env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, f"headrace {shlex.join(arguments)}: {done.stderr}"
    return done.stdout


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None
    return match[1]
