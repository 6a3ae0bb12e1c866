"""The commands write a file to three stores, on real servers with every worker running."""

import asyncio
import gzip
import json
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from harness.forked_command import headrace, inherited
from harness.records import publish, read_all
from harness.servers import Servers

from headrace_worker.settings import CommonSettings

STORES = ("elasticsearch", "pgvector", "qdrant")
STOPS_WITHIN = 12.0
"""Seconds: the ten that a worker has, and the time in which the interpreter ends."""


LINKED_WITHIN = 30.0
"""Seconds until `link` has read everything for a moment."""


class Cli(NamedTuple):
    """The command, with its own directory and its own topics."""

    directory: Path
    environment: dict[str, str]
    settings: CommonSettings

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        with (self.directory / "output.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "headrace_cli", *arguments],
                cwd=self.directory,
                env=inherited() | self.environment,
                stdout=log,
                stderr=log,
                text=True,
            )

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return headrace(*arguments, environment=self.environment, directory=self.directory, timeout=240)

    def json(self, *arguments: str) -> Any:
        """What the command prints with --json; fails unless it succeeds."""
        done = self(*arguments, "--json")
        assert done.returncode == 0, (done.stdout, done.stderr)
        return json.loads(done.stdout)

    def found(self, id: str) -> Any:
        """What `where` prints once nothing is missing."""
        deadline = time.monotonic() + LINKED_WITHIN
        while (done := self("where", id, "--json")).returncode != 0:
            assert time.monotonic() < deadline, (done.stdout, done.stderr)
            time.sleep(0.2)
        return json.loads(done.stdout)

    def idle(self) -> dict[str, Any]:
        """What `status` prints of each worker once none has a record to go: the canary publishes some every few
        seconds.
        """
        deadline = time.monotonic() + LINKED_WITHIN
        while True:
            groups = json.loads(self("status", "--json").stdout)
            if not any(one["records_to_go"] for one in groups) or time.monotonic() > deadline:
                return {one["worker"]: one for one in groups if not one["group"].endswith(".receipts")}

    def write(self, name: str, *rows: dict[str, Any] | str) -> str:
        """Writes a file of rows and returns its name."""
        lines = (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)
        (self.directory / name).write_text("".join(f"{line}\n" for line in lines))
        return name


Make = Callable[[], Cli]


@pytest.fixture(scope="module")
def make(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes a command with its own topic prefix."""

    def made() -> Cli:
        prefix = f"cli{uuid.uuid4().hex[:8]}."
        names = ("kafka", "elasticsearch", "postgres", "qdrant")
        settings = servers.settings(CommonSettings, *names, TOPIC_PREFIX=prefix)
        environment = dict(servers.need()) | {"HEADRACE_TOPIC_PREFIX": prefix}
        return Cli(tmp_path_factory.mktemp("cli"), environment, settings)

    return made


@pytest.fixture(scope="module")
def topics(make: Make) -> Cli:
    """Topics that no worker reads."""
    cli = make()
    assert len(cli.json("topics", "apply")["changes"]) > 10
    return cli


@pytest.fixture(scope="module")
def running(make: Make) -> Iterator[Cli]:
    """Topics, stores, and every worker under `headrace work`."""
    cli = make()
    cli.json("topics", "apply")
    cli.json("stores", "apply")
    workers = cli.start("work")
    try:
        yield cli
    finally:
        workers.terminate()
        workers.wait(STOPS_WITHIN)


def product(id: str, version: int = 1, **fields: Any) -> dict[str, Any]:
    return {"product_id": id, "title": f"Lantern {id}", "version": version} | fields


def new_id() -> str:
    return uuid.uuid4().hex


def test_applying_twice_changes_nothing(topics: Cli) -> None:
    assert topics.json("topics", "apply") == {"changes": []}
    topics.json("stores", "apply")
    made = topics.json("stores", "apply")
    assert set(STORES) <= set(made)
    assert not any(made.values())


async def test_a_file_is_published_row_by_row_with_its_schema_and_a_trace_for_each_record(topics: Cli) -> None:
    ids = [new_id() for _ in range(20)]
    file = topics.write("rows.jsonl", *(product(id) for id in ids))
    summary = topics.json("publish", file, "--kind", "product")
    assert (summary["published"], summary["bad"], summary["repeated"]) == (20, 0, 0)
    on_topic = await read_all(topics.settings, topics.settings.topics.source("product"))
    headers = [dict(record.headers) for record in on_topic if record.key.decode() in ids]
    assert len(headers) == 20
    assert {header["headrace-schema"] for header in headers} == {b"product-change/1"}
    traces = {header["traceparent"].decode() for header in headers}
    assert len(traces) == 20
    assert all(re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", trace) for trace in traces)


def test_bad_rows_are_named_by_line_and_do_not_stop_the_rest(topics: Cli) -> None:
    file = topics.write("bad.jsonl", product("a"), "{nonsense", product("b", version=0), product("c"))
    done = topics("publish", file, "--kind", "product", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout) | {"seconds": 0} == {
        "published": 2, "bad": 2, "repeated": 0, "seconds": 0, "stopped": False
    }  # fmt: skip
    assert re.findall(r"^bad.jsonl:(\d+): ", done.stderr, re.MULTILINE) == ["2", "3"]


def test_strict_stops_at_the_first_bad_row(topics: Cli) -> None:
    file = topics.write("strict.jsonl", product("a"), "{nonsense", product("c"))
    done = topics("publish", file, "--kind", "product", "--strict", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout) | {"seconds": 0} == {
        "published": 1, "bad": 1, "repeated": 0, "seconds": 0, "stopped": True
    }  # fmt: skip


async def test_a_file_that_is_cut_off_says_how_many_rows_are_published(topics: Cli) -> None:
    ids = [f"cut-{new_id()}" for _ in range(300)]
    whole = gzip.compress("".join(f"{json.dumps(product(id))}\n" for id in ids).encode())
    (topics.directory / "cut.jsonl.gz").write_bytes(whole[:-2000])
    done = topics("publish", "cut.jsonl.gz", "--kind", "product")
    assert done.returncode == 2
    (number,) = re.findall(r"marker was reached; (\d+) rows before that are published$", done.stderr, re.MULTILINE)
    on_topic = await read_all(topics.settings, topics.settings.topics.source("product"))
    assert sum(record.key.startswith(b"cut-") for record in on_topic) == int(number) > 0


def test_rows_that_repeat_an_id_and_version_are_counted(topics: Cli) -> None:
    file = topics.write("twice.jsonl", product("a"), product("a"), product("a", 2))
    assert topics.json("publish", file, "--kind", "product")["repeated"] == 1


def test_a_rate_limits_the_publication(topics: Cli) -> None:
    file = topics.write("paced.jsonl", *(product(f"p{number}") for number in range(30)))
    assert topics.json("publish", file, "--kind", "product", "--rate", "50")["seconds"] >= 29 / 50


def test_wait_reports_what_is_missing(topics: Cli) -> None:
    file = topics.write("unread.jsonl", product("unread"))
    topics.json("publish", file, "--kind", "product")
    done = topics("wait", "--timeout", "0", "--json")
    assert done.returncode == 1
    missing = json.loads(done.stdout)["missing"]
    assert {part["worker"] for part in missing} == {"embed", "elasticsearch"}
    assert all(part["records"] > 0 for part in missing)


def check_fused(running: Cli, id: str) -> None:
    """A search in two stores, and its measures."""
    both = "qdrant+elasticsearch"
    for fusion in ("weighted", "reciprocal"):
        (hit,) = running.json("search", f"Copper lantern {id}", "--in", both, "--fusion", fusion, "--limit", "1")
        assert hit["id"] == id
    line = json.dumps({"query": f"Copper lantern {id}", "relevant": [id], "language": "en"})
    queries = running.write("queries.jsonl", line)
    measured = running.json("bench-search", queries, "--in", "qdrant", "--in", "elasticsearch")
    found = {(one["searched"], one["language"]): one["ndcg"] for one in measured}
    assert found["elasticsearch", "en"] == found["qdrant+elasticsearch, weighted 50%", "all"] == 1


def test_published_entities_can_be_searched_after_wait(running: Cli) -> None:
    id = new_id()
    products = running.write("p.jsonl", product(id, title=f"Copper lantern {id}", price=12.5, currency="USD"))
    keyword = new_id()
    keywords = running.write("k.csv", "keyword_id,text,version", f"{keyword},lantern {keyword},3")
    running.json("publish", products, "--kind", "product")
    running.json("publish", keywords, "--kind", "keyword")
    assert running.json("wait", "--timeout", "200")["done"]
    for store in STORES:
        (hit,) = running.json("search", f"Copper lantern {id}", "--in", store, "--limit", "1")
        assert hit["id"] == id
        assert hit["fields"]["price"] == 12.5
        (hit,) = running.json("search", f"lantern {keyword}", "--in", store, "--kind", "keyword", "--limit", "1")
        assert hit["id"] == keyword
    check_fused(running, id)
    check_journey(running.found(id), 1)
    check_journey(running.json("where", keyword, "--kind", "keyword"), 3)
    check_status(running.idle())


def check_status(workers: Mapping[str, dict[str, Any]]) -> None:
    """Every worker runs on this machine and has settled all of its records."""
    for name in ("embed", "link", *STORES):
        found = workers[name]
        assert (found["state"], found["copies"], found["answering"]) == ("ready", 1, 1)
        assert found["hosts"] == [socket.gethostname()]
        assert (found["records_to_go"], found["lag_seconds"]) == (0, 0.0)
        assert found["records_a_second"] >= 0
    for name in STORES:
        assert 0 < workers[name]["delay_p50"] <= workers[name]["delay_p99"] < 200
        assert min(workers[name]["live"].values()) >= 1
    assert set(workers["qdrant"]["live"]) == {"product", "keyword"}
    assert workers["embed"]["dead_letters_waiting"] >= 0
    assert workers["embed"]["live"] == {}


def check_journey(found: dict[str, Any], version: int) -> None:
    """Every worker has settled this version, and a search in every store finds it."""
    assert (found["version"], found["settled"], found["missing"]) == (version, True, [])
    assert found["occurred_at"] <= found["published_at"]
    outcomes = {one["worker"]: (one["outcome"], one["milliseconds"]) for one in found["workers"]}
    assert {"embed", *STORES} <= set(outcomes)
    for name in ("embed", *STORES):
        outcome, milliseconds = outcomes[name]
        assert outcome == "applied"
        assert 0 <= milliseconds < 200_000
    assert outcomes["qdrant"][1] >= outcomes["embed"][1]
    searches = {one["store"]: (one["version"], one["found_by_search"]) for one in found["stores"]}
    assert searches == dict.fromkeys(STORES, (version, True))
    if found["kind"] == "product":
        assert outcomes["link"][0] in ("applied", "superseded")
        assert {one["store"]: len(one["links"]) > 0 for one in found["links"]} == dict.fromkeys(
            ("elasticsearch", "link", "pgvector"), True
        )
    else:
        assert {one["store"]: one["count"] > 0 for one in found["linked_products"]} == dict.fromkeys(
            ("elasticsearch", "link", "pgvector"), True
        )


def test_a_list_of_ids_is_deleted_everywhere(running: Cli) -> None:
    id = new_id()
    running.json("publish", running.write("made.jsonl", product(id, 5)), "--kind", "product")
    ids = running.write("gone.txt", id)
    running.json("publish", ids, "--kind", "product", "--delete", "--version", "6")
    assert running.json("wait", "--timeout", "200")["done"]
    for store in STORES:
        hits = running.json("search", f"Lantern {id}", "--in", store, "--limit", "3")
        assert id not in {hit["id"] for hit in hits}


@pytest.mark.long
def test_a_wrong_version_is_taken_back_in_every_store_and_on_the_topic(running: Cli) -> None:
    id, wrong = new_id(), 9_999_999_999
    for version in (1, wrong, 2):
        running.json("publish", running.write("forget.jsonl", product(id, version)), "--kind", "product")
    running.json("wait")
    planned = running.json("forget", id, "--reason", "a wrong clock", "--dry-run")
    assert (planned["version"], planned["publishes_again"]["version"], planned["published"]) == (wrong, 2, False)
    assert planned["stores"] == {name: {"version": wrong, "deleted": False} for name in STORES}
    assert len(planned["records"]) == 1
    assert running("forget", id, "--version", "3", "--reason", "no such version").returncode == 1
    unread = running("forget", "in no store", "--reason", "a wrong clock")
    assert unread.stderr.strip().endswith(
        "no store has the product 'in no store': give the wrong version with --version"
    )

    assert running.json("forget", id, "--reason", "a wrong clock")["published"]
    running.json("wait")
    found = running.found(id)
    assert (found["missing"], found["version"]) == ([], 2)
    assert {store["store"]: store["version"] for store in found["stores"]} == dict.fromkeys(STORES, 2)
    running.json("publish", running.write("forget.jsonl", product(id, 3)), "--kind", "product")
    running.json("wait")
    assert running.found(id)["version"] == 3
    (action, *_) = running.json("dead", "audit")
    assert (action["name"], action["selection"]) == ("forget", {"key": id})
    assert action["reason"] == f"version {wrong} of the product: a wrong clock"
    assert action["outcome"] == f"version {wrong} is taken back; version 2 is published again"


async def test_dead_letters_are_listed_and_cannot_control_the_terminal(running: Cli) -> None:
    hostile = f"\x1b[2J[bold]{new_id()}"
    change = product(hostile) | {"op": "upsert", "occurred_at": "yesterday"}
    await publish(running.settings, running.settings.topics.source("product"), [change])
    assert running.json("wait", "--timeout", "200", "--allow-dead")["done"]
    topics = [f"--topic={running.settings.topics.dead(worker)}" for worker in ("embed", "elasticsearch")]
    letters = [letter for letter in running.json("dead", "ls", *topics) if letter["key"] == hostile]
    assert {letter["worker"] for letter in letters} == {"embed", "elasticsearch"}
    assert {letter["reason"] for letter in letters} == {"invalid"}
    assert {letter["topic"] for letter in letters} == {running.settings.topics.source("product")}
    id = letters[0]["id"]
    for call in (["ls"], ["groups"], ["show", id]):
        shown = running("dead", *call, *topics)
        assert shown.returncode == 0, shown.stderr
        assert "\x1b" not in shown.stdout
        assert call[0] == "groups" or r"\x1b[2J[bold]" in shown.stdout
    shown = running("where", hostile)
    assert shown.returncode == 1
    assert "\x1b" not in shown.stdout
    for worker in ("embed", "elasticsearch"):
        assert re.search(rf"^  {worker}: dead letter \(waiting\): invalid: ", shown.stdout, re.MULTILINE), shown.stdout
    assert "  qdrant: not settled: it reads the records of embed, which rejected it\n" in shown.stdout
    unknown = running("where", "no such product", "--json")
    assert unknown.returncode == 1
    assert json.loads(unknown.stdout)["missing"] == ["no version of the product is known"]


async def test_wait_says_which_records_became_dead_letters_and_how_many_wait(running: Cli) -> None:
    now = datetime.now(UTC).isoformat()
    rows = [product(new_id()) | {"op": "upsert", "occurred_at": now} for _ in range(4)]
    await publish(
        running.settings,
        running.settings.topics.source("product"),
        [*(r | {"price": "ten"} for r in rows[1:]), rows[0]],
    )
    done = running("wait", "--timeout", "200", "--since", now, "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["done"], found["succeeded"], found["missing"]) == (1, True, False, [])
    assert found["records"] == 4
    outcomes = {(row["worker"], row["applied"], row["dead"]) for row in found["workers"] if "products" in row["topic"]}
    assert {("embed", 1, 3), ("elasticsearch", 1, 3), ("qdrant", 1, 0), ("pgvector", 1, 0)} <= outcomes
    assert {(cause["worker"], cause["reason"], cause["records"]) for cause in found["causes"]} == {
        ("embed", "invalid", 3), ("elasticsearch", "invalid", 3)
    }  # fmt: skip
    assert "elasticsearch: 3 dead letters of" in done.stderr
    assert found["dead_letters"]["waiting"] >= 6
    assert found["dead_letters"]["unread"] == 0


def test_wait_names_a_store_that_does_not_answer_although_every_record_is_settled(running: Cli) -> None:
    closed = {"HEADRACE_QDRANT__URL": "http://127.0.0.1:1", "HEADRACE_POSTGRES__DSN": "postgresql://u:p@127.0.0.1:1/d"}
    done = running._replace(environment=running.environment | closed)("wait", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["done"], found["succeeded"]) == (1, True, False)
    assert set(found["stores"]) == {"link", "pgvector", "qdrant"}
    assert "the store of qdrant does not answer, so what a search in it finds is not known: qdrant: " in done.stderr
    assert "the store of pgvector does not answer, so what a search in it finds is not known: postgres: " in done.stderr
    assert found["dead_letters"]["waiting"] is None


def test_wait_and_status_name_what_is_down_held_or_not_running(make: Make) -> None:
    cli = make()
    cli.json("topics", "apply")
    cli.environment.update(HEADRACE_ELASTICSEARCH__URL="http://127.0.0.1:1", HEADRACE_BREAKER__WINDOW="10")
    embedded = cli.settings.topics.embedded("product", cli.settings.model)
    change = product("p") | {"op": "upsert", "occurred_at": datetime.now(UTC).isoformat()}
    asyncio.run(publish(cli.settings, cli.settings.topics.source("product"), [change]))
    asyncio.run(publish(cli.settings, embedded, [b"not JSON"] * 20))
    workers = cli.start("work", "elasticsearch", "pgvector")
    try:
        while (cli.directory / "output.log").read_text().count("http_listening") < 2:
            assert workers.poll() is None
            time.sleep(0.05)
        wanted = ("no copy of embed runs", "elasticsearch: unavailable: elasticsearch since", "pgvector: held:")
        deadline = time.monotonic() + 60
        while not all(words in (done := cli("wait", "--timeout", "1")).stderr for words in wanted):
            assert (done.returncode, time.monotonic() < deadline) == (1, True), done.stderr
        states = {one["worker"]: one for one in json.loads(cli("status", "--json").stdout)}
        assert {name: one["state"] for name, one in states.items()} == {
            "dead_letters": "not running", "elasticsearch": "not ready", "embed": "not running", "link": "not running",
            "pgvector": "not ready", "qdrant": "not running",
        }  # fmt: skip
        assert "of the last 10 products: " in states["pgvector"]["problems"][0]
        assert states["embed"]["records_to_go"] == 1
        assert (states["embed"]["lag_seconds"], states["embed"]["delay_p99"]) == (None, None)
        assert states["pgvector"]["lag_seconds"] > 0
        assert states["elasticsearch"]["live"] == {}
    finally:
        workers.terminate()
        workers.wait(STOPS_WITHIN)


def test_stopping_the_supervisor_stops_every_worker_cleanly(make: Make) -> None:
    cli = make()
    cli.json("topics", "apply")
    supervisor = cli.start("work", "elasticsearch", "pgvector")
    log = cli.directory / "output.log"
    try:
        while log.read_text().count("worker_started") < 2:
            assert supervisor.poll() is None, log.read_text()
            time.sleep(0.05)
        workers = psutil.Process(supervisor.pid).children()
        assert len(workers) == 2
    finally:
        supervisor.send_signal(signal.SIGINT)
        status = supervisor.wait(STOPS_WITHIN)
    assert status == 0
    assert not any(worker.is_running() for worker in workers)
    lines = log.read_text().splitlines()
    assert {line.split(" | ")[0].strip() for line in lines} == {"elasticsearch", "pgvector"}
    assert sum("worker_stopped" in line for line in lines) == 2
    assert "was killed" not in log.read_text()


def test_the_demo_refuses_servers_with_a_catalogue(topics: Cli) -> None:
    topics.json("publish", topics.write("mine.jsonl", product("mine")), "--kind", "product")
    done = topics("demo", "--running")
    assert done.returncode == 1
    assert "is not empty: the demo needs servers without a catalogue" in done.stderr
