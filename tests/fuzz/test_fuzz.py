"""No record, file or request raises anything but the documented error. `make fuzz` tries more inputs."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from harness.letters import empty_database
from harness.servers import Servers
from hypothesis import HealthCheck, seed, settings

from fuzz.files import reading
from fuzz.records import decoding, letters
from fuzz.reports import editing, reporting
from fuzz.requests import answering, routes_of
from fuzz.stores import documents, stored_points
from fuzz.values import Target
from headrace_console.app import create_app, protected
from headrace_console.settings import ConsoleSettings
from headrace_letters.index import open_index

TOKEN, PORT = "a token that is long enough", 8484
ORIGIN = f"http://127.0.0.1:{PORT}"


def tried(target: Target, inputs: int) -> None:
    options = settings(max_examples=inputs, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    seed(1)(options(target.test()))()


def test_every_record_has_an_outcome() -> None:
    tried(decoding, 150)


def test_every_record_can_be_read_as_a_dead_letter() -> None:
    tried(letters, 100)


def test_every_file_is_read_or_says_why_not() -> None:
    tried(reading, 150)


def test_every_report_is_read_or_ignored() -> None:
    tried(reporting, 40)


def test_every_line_of_edited_letters_is_a_change_or_says_why_not() -> None:
    tried(editing, 40)


@pytest.mark.parametrize("target", [documents, stored_points], ids=["elasticsearch", "qdrant"])
def test_whatever_is_stored_can_be_compared(target: Target) -> None:
    tried(target, 30)


@pytest.mark.long
@pytest.mark.parametrize(
    "target",
    [decoding, letters, reading, reporting, editing, documents, stored_points],
    ids=["records", "letters", "files", "reports", "edits", "documents", "points"],
)
def test_many_inputs_raise_nothing_but_the_documented_error(target: Target) -> None:
    tried(target, 20_000)


@pytest.fixture(scope="module")
def console(servers: Servers) -> Iterator[tuple[Any, list[tuple[str, str]]]]:
    """Sends requests to a console with an empty index on real servers; and its routes."""
    with asyncio.Runner() as runner:
        stack = _Console(servers)
        runner.run(stack.open())
        try:
            yield lambda *request: runner.run(stack.send(*request)), stack.routes
        finally:
            runner.run(stack.close())


class _Console:
    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self.routes: list[tuple[str, str]] = []

    async def open(self) -> None:
        self._database = empty_database(self._servers)
        dsn = await self._database.__aenter__()
        own = self._servers.settings(ConsoleSettings, "kafka", "postgres", POSTGRES__DSN=dsn)
        async with open_index(own) as index:
            await index.prepare()
        application = create_app(own, TOKEN, port=PORT)
        self._lifespan = application.router.lifespan_context(application)
        await self._lifespan.__aenter__()
        self.routes = routes_of(application)
        transport = httpx.ASGITransport(protected(application), raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers={"accept": "text/html"})
        signed_in = await self._client.post(
            "/sign-in", data={"token": TOKEN, "name": "on-call"}, headers={"origin": ORIGIN}
        )
        assert signed_in.status_code == 303
        self._csrf = re.findall('name="csrf" value="(.+?)"', (await self._client.get("/replays")).text)[0]

    async def send(self, method: str, target: str, form: bytes) -> int:
        headers = {"origin": ORIGIN, "content-type": "application/x-www-form-urlencoded"}
        body = f"csrf={self._csrf}&".encode() + form if method == "POST" else b""
        return (await self._client.request(method, target, content=body, headers=headers)).status_code

    async def close(self) -> None:
        await self._client.aclose()
        await self._lifespan.__aexit__(None, None, None)
        await self._database.__aexit__(None, None, None)


@pytest.mark.servers
def test_every_request_to_the_console_has_an_answer(console: Any) -> None:
    send, routes = console
    tried(answering(send, routes), 60)


@pytest.mark.servers
@pytest.mark.long
def test_many_requests_to_the_console_have_an_answer(console: Any) -> None:
    send, routes = console
    tried(answering(send, routes), 3000)
