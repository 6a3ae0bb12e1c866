"""One installation with a bad deploy, its index of dead letters, its console, and a browser."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from harness.bad_deploy import BadDeploy, open_bad_deploy
from harness.console import ConsoleProcess, Operator, at_the_console, open_browser
from harness.servers import Servers
from playwright.async_api import Browser, expect

expect.set_options(timeout=30_000)


@pytest.fixture
async def deploy(servers: Servers, tmp_path: Path) -> AsyncIterator[BadDeploy]:
    async with open_bad_deploy(servers, tmp_path) as opened:
        yield opened


@pytest.fixture
def console(deploy: BadDeploy, tmp_path: Path) -> AsyncIterator[ConsoleProcess]:
    process = ConsoleProcess(deploy.environment, tmp_path)
    process.start()
    yield process
    process.end()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as opened:
        yield opened


@pytest.fixture
async def operator(browser: Browser, console: ConsoleProcess) -> AsyncIterator[Operator]:
    """Signed in as on-call Park, at a laptop."""
    async with at_the_console(browser, console) as somebody:
        await somebody.sign_in()
        yield somebody
