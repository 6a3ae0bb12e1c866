"""For each module one installation with a bad deploy, its index of dead letters, its console, and a browser.

Starting the two workers, the console and Chromium takes longer than most tests. A test gets the installation without
products and letters, and the console running.
"""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from harness.bad_deploy import BadDeploy, open_bad_deploy
from harness.console import ConsoleProcess, Operator, at_the_console, open_browser
from harness.servers import Servers
from playwright.async_api import Browser, expect

expect.set_options(timeout=30_000)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_deploy(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BadDeploy]:
    async with open_bad_deploy(servers, tmp_path_factory.mktemp("deploy")) as opened:
        yield opened


@pytest.fixture(scope="module")
def running_console(running_deploy: BadDeploy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleProcess]:
    process = ConsoleProcess(running_deploy.environment, tmp_path_factory.mktemp("console"))
    process.start()
    yield process
    process.end()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def deploy(running_deploy: BadDeploy) -> BadDeploy:
    """Without products and letters, and not broken."""
    await running_deploy.empty()
    return running_deploy


@pytest.fixture
def console(running_console: ConsoleProcess) -> ConsoleProcess:
    """Running, also if the test before has killed it."""
    if not running_console.running:
        running_console.start()
    return running_console


@pytest_asyncio.fixture(loop_scope="module")
async def operator(browser: Browser, deploy: BadDeploy, console: ConsoleProcess) -> AsyncIterator[Operator]:
    """Signed in as on-call, at a laptop."""
    async with at_the_console(browser, console) as somebody:
        await somebody.sign_in()
        yield somebody
