"""An error of the user is reported in one line with the action to take, with the right exit status and no traceback."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from harness import forked_command

NO_KAFKA = {"HEADRACE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"}


def headrace(directory: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command in this directory, without the developer's own settings."""
    return forked_command.headrace(*arguments, environment=environment, directory=directory, timeout=60)


def python_headrace(directory: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same in a new interpreter."""
    return subprocess.run(
        [sys.executable, "-m", "headrace_cli", *arguments],
        cwd=directory,
        env=forked_command.inherited() | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "products.jsonl"
    path.write_text('{"product_id": "p", "title": "Lamp", "version": 1}\n')
    return path


@pytest.mark.parametrize(
    "call",
    [
        ["topics", "apply"],
        ["publish", "products.jsonl", "--kind", "product"],
        ["wait"],
        ["dead", "ls", "--topic", "headrace.dead.qdrant"],
        ["relink", "--all"],
    ],
    ids=lambda call: call[0],
)
def test_no_kafka(tmp_path: Path, file: Path, call: list[str]) -> None:
    done = headrace(tmp_path, *call, **NO_KAFKA)
    assert done.returncode == 1
    assert done.stderr == (
        "headrace: no Kafka at 127.0.0.1:1: start it with `headrace up`, or set HEADRACE_KAFKA__BOOTSTRAP_SERVERS\n"
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [("HEADRACE_KAFKA__PARTITIONS", "s3cret"), ("HEADRACE_KAFKA__SECURITY_PROTOCOL", "s3cret")],
)
def test_a_wrong_setting_is_named_and_its_value_is_not_shown(tmp_path: Path, variable: str, value: str) -> None:
    done = headrace(tmp_path, "topics", "apply", **{variable: value})
    assert done.returncode == 2
    assert done.stderr.startswith(f"headrace: the setting {variable} is wrong: ")
    assert done.stderr.count("\n") == 1
    assert value not in done.stderr


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (["publish", "none.csv", "--kind", "product"], "none.csv: no such file"),
        (["publish", "products.xlsx", "--kind", "product"], "name it .jsonl, .csv"),
        (["publish", "products.jsonl", "--kind", "product", "--version", "7"], "--version is for --delete"),
        (["work", "nothing"], "there is no worker 'nothing'; there are "),
        (["search", "lamp", "--in", "nothing"], "there is no worker 'nothing'"),
        (["search", "lamp", "--in", "embed"], "has no store"),
        (["search", "lamp", "--in", "qdrant+qdrant"], "--in takes one store, or two different ones"),
        (["search", "lamp", "--in", "a+b+c"], "--in takes one store, or two different ones, and not 'a+b+c'"),
        (["search", "lamp", "--kind", "keyword", "--brand", "Acme"], "keywords have no brand, category or price"),
        (["search", "lamp", "--min-price", "9", "--max-price", "8"], "--min-price 9 is above --max-price 8"),
        (["links"], "either a product's id or --keyword"),
        (["links", "p", "--keyword", "k"], "either a product's id or --keyword"),
        (
            ["links", "p", "--in", "qdrant"],
            "the worker qdrant has no link sets; these do: elasticsearch",
        ),
        (["links", "p", "--in", "nothing"], "there is no worker 'nothing'"),
        (["relink"], "either --all or --product"),
        (["relink", "--all", "--product", "p"], "either --all or --product"),
        (["relink", "--product", "x" * 513], "is no product id"),
        (["dead", "ls", "--since", "yesterday"], "--since is a time such as 2026-03-01T03:00"),
        (["dead", "ls", "--status", "lost"], "--status is one of waiting, "),
        (["dead", "ls", "--key", "0xabc"], "an even number of hexadecimal digits"),
        (["dead", "replay"], "choose letters: "),
        (["dead", "replay", "--all", "--worker", "qdrant"], "choose letters: "),
        (["dead", "park"], "choose letters: "),
        (["dead", "discard", "--reason", "invalid"], "choose letters: "),
        (["dead", "import", "none.jsonl"], "none.jsonl: No such file"),
    ],
)
def test_a_wrong_call(tmp_path: Path, file: Path, call: list[str], said: str) -> None:
    (tmp_path / "products.xlsx").touch()
    done = headrace(tmp_path, *call)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("call", [["dead", "ls"], ["dead", "groups"], ["dead", "park", "--all"]], ids=" ".join)
def test_no_index(tmp_path: Path, call: list[str]) -> None:
    nowhere = {"HEADRACE_POSTGRES__DSN": "postgresql://postgres:s3cret@127.0.0.1:1/postgres"}
    done = headrace(tmp_path, *call, **nowhere)
    assert done.returncode == 1
    assert done.stderr.startswith("headrace: postgres")
    assert done.stderr.count("\n") == 1
    assert "headrace up" in done.stderr
    assert "s3cret" not in done.stderr


def test_a_new_interpreter_says_the_same(tmp_path: Path, file: Path) -> None:
    for call in (["topics", "apply"], ["publish", "none.csv", "--kind", "product"], ["status", "--json"]):
        done, again = headrace(tmp_path, *call, **NO_KAFKA), python_headrace(tmp_path, *call, **NO_KAFKA)
        assert (done.returncode, done.stdout, done.stderr) == (again.returncode, again.stdout, again.stderr)


def test_no_servers(tmp_path: Path) -> None:
    done = headrace(tmp_path, "status")
    assert done.returncode == 1
    assert "start them with `headrace up`" in done.stdout
    assert json.loads(headrace(tmp_path, "status", "--json").stdout) == []
    assert headrace(tmp_path, "down").returncode == 0


def test_a_variable_that_nothing_reads_gets_one_warning_with_the_nearest_name(tmp_path: Path) -> None:
    done = headrace(tmp_path, "topics", "apply", HEADRACE_KAFKA__PARTITION="3", **NO_KAFKA)
    warnings = [line for line in done.stderr.splitlines() if "is not a setting" in line]
    assert len(warnings) == 1
    assert "HEADRACE_KAFKA__PARTITION " in warnings[0]
    assert "did you mean HEADRACE_KAFKA__PARTITIONS?" in warnings[0]


@pytest.mark.parametrize("call", [["status"], ["generate", "made", "--products", "1", "--keywords", "1"]])
def test_a_command_that_reads_no_settings_does_not_warn_about_them(tmp_path: Path, call: list[str]) -> None:
    assert headrace(tmp_path, *call, HEADRACE_KAFKA__PARTITION="3").stderr == ""


def test_the_environment_comes_before_the_file_of_headrace_up(tmp_path: Path) -> None:
    (tmp_path / ".headrace").mkdir()
    (tmp_path / ".headrace" / "stack.env").write_text("HEADRACE_KAFKA__BOOTSTRAP_SERVERS=127.0.0.1:2\n")
    assert "no Kafka at 127.0.0.1:2:" in headrace(tmp_path, "wait").stderr
    assert "no Kafka at 127.0.0.1:1:" in headrace(tmp_path, "wait", **NO_KAFKA).stderr


def test_another_data_directory_is_read_without_a_warning(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "stack.env").write_text("HEADRACE_KAFKA__BOOTSTRAP_SERVERS=127.0.0.1:3\n")
    done = headrace(tmp_path, "wait", HEADRACE_DATA_DIR="elsewhere")
    assert "no Kafka at 127.0.0.1:3:" in done.stderr
    assert done.stderr.count("\n") == 1


def test_running_a_worker_imports_nothing_of_the_other_commands(tmp_path: Path) -> None:
    program = """
import sys
from headrace_cli.main import Commands
Commands(name="headrace").get_command(None, "work")
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    heavy = {"pyarrow", "aiokafka", "numpy", "qdrant_client", "elasticsearch", "asyncpg", "onnxruntime"}
    assert not heavy & set(done.stdout.split())


def test_commands_and_their_arguments_are_completed_by_the_shell(tmp_path: Path) -> None:
    def completed(words: str) -> list[str]:
        done = headrace(
            tmp_path, _HEADRACE_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(words.count(" "))
        )
        return done.stdout.split()

    assert completed("headrace st") == ["status", "stores"]
    assert completed("headrace work q") == ["qdrant"]
    assert completed("headrace search lamp --in e") == ["elasticsearch"]
    assert completed("headrace links p --in p") == ["pgvector"]


def test_generated_files_can_be_published_as_they_are(tmp_path: Path) -> None:
    done = headrace(tmp_path, "generate", "made", "--products", "3", "--keywords", "2", "--changes", "4", "--json")
    assert done.returncode == 0
    files = json.loads(done.stdout)["files"]
    lines = {name: len((tmp_path / path).read_text().splitlines()) for name, path in files.items()}
    assert lines == {"products": 3, "keywords": 2, "changes": 4, "labels": 3, "queries": 0}
