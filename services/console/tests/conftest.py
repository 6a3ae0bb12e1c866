"""The console without its servers: a request is refused before the console asks any of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI

from headrace_console.app import create_app, protected
from headrace_console.backend import Backend
from headrace_console.jobs import Jobs
from headrace_console.letter_records import LetterRecords
from headrace_console.monitor.worker_monitor import WorkerMonitor
from headrace_console.settings import ConsoleSettings
from headrace_letters.index import LetterIndex
from headrace_letters.installed_stores import open_installed_stores

TOKEN = "a token that is long enough"
PORT = 8484
ORIGIN = f"http://127.0.0.1:{PORT}"


@asynccontextmanager
async def without_servers(settings: ConsoleSettings) -> AsyncIterator[Backend]:
    """The real parts, with addresses that have no server."""
    async with open_installed_stores() as stores:
        jobs = Jobs()
        index, records = LetterIndex(settings.postgres, settings.names.schema), LetterRecords(settings.kafka)
        yield Backend(settings, index, records, stores, jobs, WorkerMonitor(settings.kafka, [], {}, []))
        await jobs.close()


@pytest.fixture
async def application(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FastAPI]:
    monkeypatch.setenv("HEADRACE_POSTGRES__DSN", "postgresql://nobody:secret@127.0.0.1:1/nothing")
    made = create_app(ConsoleSettings(), TOKEN, port=PORT, opened=without_servers)
    async with made.router.lifespan_context(made):
        yield made


@asynccontextmanager
async def browser(application: FastAPI, origin: str = ORIGIN) -> AsyncIterator[httpx.AsyncClient]:
    """Keeps cookies, follows no redirect, and sends the headers of a browser."""
    transport = httpx.ASGITransport(protected(application), raise_app_exceptions=False)
    headers = {"accept": "text/html"}
    async with httpx.AsyncClient(transport=transport, base_url=origin, headers=headers) as client:
        yield client


@pytest.fixture
async def stranger(application: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Nobody has signed in."""
    async with browser(application) as client:
        yield client


@pytest.fixture
async def operator(stranger: httpx.AsyncClient) -> httpx.AsyncClient:
    """Signed in with the token, as on-call."""
    answer = await stranger.post("/sign-in", data={"token": TOKEN, "name": "on-call"}, headers={"origin": ORIGIN})
    assert answer.status_code == 303
    return stranger
