"""The advice fits the situation: where the server is, and what it answered."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from headrace_cli.advice import unreachable
from headrace_cli.errors import explained
from headrace_cli.worker_stores import open_store
from headrace_worker.stage import Unavailable
from headrace_worker.store import Query

UP = "start it with `headrace up`"


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """A server that answers every request alike."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("X-Elastic-Product", "Elasticsearch")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_HEAD = answer

        def log_message(self, format: str, *arguments: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


async def line_of(store: str, monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    """What a command says when this search fails."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    async with open_store(store) as opened:
        with pytest.raises(Unavailable) as failed:
            await opened.search(Query("lamp", vector=[1.0]))
    problem = explained(failed.value)
    assert problem is not None
    [line] = problem.lines
    return line


@pytest.mark.parametrize(
    ("store", "variable", "address"),
    [
        ("elasticsearch", "HEADRACE_ELASTICSEARCH__URL", "http://127.0.0.1:1"),
        ("elasticsearch", "HEADRACE_ELASTICSEARCH__URL", "http://localhost:1"),
        ("qdrant", "HEADRACE_QDRANT__URL", "http://127.0.0.1:1"),
        ("pgvector", "HEADRACE_POSTGRES__DSN", "postgresql://postgres:s3cret@127.0.0.1:1/postgres"),
    ],
)
async def test_a_closed_port_of_this_machine(
    store: str, variable: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = await line_of(store, monkeypatch, **{variable: address})
    assert line.endswith(f": {UP}, or set {variable}")
    assert "s3cret" not in line


@pytest.mark.parametrize(
    ("store", "variable", "address", "place"),
    [
        ("elasticsearch", "HEADRACE_ELASTICSEARCH__URL", "http://es.invalid:9200", "es.invalid:9200"),
        ("qdrant", "HEADRACE_QDRANT__URL", "http://qdrant.invalid:6333", "qdrant.invalid:6333"),
        ("pgvector", "HEADRACE_POSTGRES__DSN", "postgresql://u:s3cret@pg.invalid:5432/db", "pg.invalid:5432"),
    ],
)
async def test_a_server_of_another_machine(
    store: str, variable: str, address: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = await line_of(store, monkeypatch, **{variable: address})
    assert line.endswith(f": check that it runs at {place}, and that {variable} is its address")
    assert "headrace up" not in line
    assert "s3cret" not in line


@pytest.mark.parametrize(
    ("status", "body", "end"),
    [
        (400, b'{"error": {"type": "parsing_exception", "reason": "r"}}', "elasticsearch: 400 parsing_exception"),
        (
            401,
            b'{"error": {"type": "security_exception", "reason": "missing credentials"}}',
            "401 security_exception: check HEADRACE_ELASTICSEARCH__API_KEY, "
            "or HEADRACE_ELASTICSEARCH__USERNAME and __PASSWORD",
        ),
        (
            403,
            b'{"error": {"type": "cluster_block_exception", "reason": "index [products-v1] blocked by: [read-only]"}}',
            "403 cluster_block_exception: index [products-v1] blocked by: [read-only]",
        ),
        (
            404,
            b'{"error": {"type": "index_not_found_exception", "reason": "no such index [products]"}}',
            "no such index [products]; has `headrace stores apply` been run?",
        ),
        (500, b"{}", "elasticsearch: 500 ApiError"),
    ],
)
async def test_what_elasticsearch_answered(status: int, body: bytes, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(status, body) as url:
        line = await line_of("elasticsearch", monkeypatch, HEADRACE_ELASTICSEARCH__URL=url)
    assert line.endswith(end)
    assert UP not in line


@pytest.mark.parametrize(
    ("status", "end"),
    [
        (401, "check HEADRACE_QDRANT__API_KEY"),
        (404, "has `headrace stores apply` been run?"),
        (503, "qdrant: 503 overloaded"),
    ],
)
async def test_what_qdrant_answered(status: int, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(status, b'{"status": {"error": "overloaded"}}') as url:
        line = await line_of("qdrant", monkeypatch, HEADRACE_QDRANT__URL=url, HEADRACE_QDRANT__PREFER_GRPC="false")
    assert line.endswith(end)
    assert UP not in line


@pytest.mark.parametrize("servers", ["127.0.0.1:9092,kafka-2:9092", "kafka-1:9092"])
def test_one_server_elsewhere_is_enough_to_name_the_addresses(servers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_KAFKA__BOOTSTRAP_SERVERS", servers)
    problem = explained(Unavailable("kafka", "cannot be reached", kind="unreachable"))
    assert problem is not None
    assert servers.split(",")[-1] in problem.lines[0]
    assert UP not in problem.lines[0]


@pytest.mark.parametrize("password", ["a,hunter2,b", "12,hunter2", "a,b@c,hunter2"])
def test_no_part_of_a_password_with_commas_is_shown(password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_POSTGRES__DSN", f"postgresql://somebody:{password}@db-1:5432,db-2/catalogue")
    line = unreachable("postgres")
    assert "db-1:5432, db-2," in line
    assert "hunter2" not in line
    assert "somebody" not in line


def test_a_server_that_only_the_query_of_a_dsn_names_is_not_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_POSTGRES__DSN", "postgresql:///catalogue?host=db-1")
    assert unreachable("postgres").startswith("check that it runs at db-1,")
    monkeypatch.setenv("HEADRACE_POSTGRES__DSN", "postgresql:///catalogue?host=/var/run/postgresql")
    assert unreachable("postgres").startswith(UP)
