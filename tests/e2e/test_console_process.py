"""The console as a process: what it prints, where it refuses to listen, how it ends."""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from harness.console import ConsoleProcess, at_the_console, open_browser
from harness.installation import open_installation
from harness.servers import Servers


async def test_the_created_token_is_printed_once_and_logged_nowhere(servers: Servers, tmp_path: Path) -> None:
    async with open_installation(servers, "pgvector") as installation:
        console = ConsoleProcess(installation.environment, tmp_path)
        console.start()
        try:
            await asks_for_pages(console)
            assert console.stop() == 0
        finally:
            console.end()
        password = urlsplit(installation.environment["HEADRACE_POSTGRES__DSN"]).password
    for secret in filter(None, (console.url.partition("token=")[2], password)):
        assert secret not in console.log()


async def asks_for_pages(console: ConsoleProcess) -> None:
    """With the token, and without it."""
    token = console.url.partition("token=")[2]
    assert len(token) >= 40
    async with open_browser() as browser, at_the_console(browser, console) as operator:
        await operator.sign_in()
        assert token not in operator.page.url
        await operator.visit("/letters?after=nonsense")
    async with httpx.AsyncClient(base_url=console.origin) as stranger:
        assert (await stranger.get("/")).status_code == 401
        assert (await stranger.get("/sign-in", params={"token": token[:-1]})).status_code == 401
        assert (await stranger.get("/", headers={"Host": "evil.example"})).status_code == 400


def refusal(**variables: str) -> subprocess.CompletedProcess[str]:
    """The console with these settings, which should not start."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    environment |= {f"HEADRACE_CONSOLE__{name}": value for name, value in variables.items()}
    command = [sys.executable, "-m", "headrace_cli", "console", "--port", "0"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_it_refuses_other_addresses_without_tls_in_one_line() -> None:
    ended = refusal(HOST="0.0.0.0", ALLOWED_HOSTS="console.example")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("headrace: the setting HEADRACE_CONSOLE is wrong: ")
    assert "TLS_CERT_FILE" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_short_token_is_refused_and_not_repeated() -> None:
    ended = refusal(TOKEN="hunter2")
    assert ended.returncode == 2
    assert "HEADRACE_CONSOLE__TOKEN" in ended.stderr
    assert "hunter2" not in ended.stderr
