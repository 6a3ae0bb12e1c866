"""The console as a process: what it prints, where it refuses to listen, how it ends."""

import os
import subprocess
import sys

import httpx
from harness.bad_deploy import BadDeploy
from harness.console import ConsoleProcess, Operator


async def test_the_made_token_is_printed_once_and_logged_nowhere(
    console: ConsoleProcess, operator: Operator, deploy: BadDeploy
) -> None:
    token = console.url.partition("token=")[2]
    assert len(token) >= 40
    assert token not in operator.page.url
    await operator.visit("/letters?after=nonsense")
    async with httpx.AsyncClient(base_url=console.origin) as stranger:
        assert (await stranger.get("/")).status_code == 401
        assert (await stranger.get("/sign-in", params={"token": token[:-1]})).status_code == 401
        assert (await stranger.get("/", headers={"Host": "evil.example"})).status_code == 400
    assert console.stop() == 0
    password = deploy.dsn.partition("://")[2].partition("@")[0].partition(":")[2]
    for secret in filter(None, (token, password)):
        assert secret not in console.log()


def refusal(**variables: str) -> subprocess.CompletedProcess[str]:
    """The console with these settings, which should not start."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    environment |= {f"HEADRACE_CONSOLE__{name}": value for name, value in variables.items()}
    command = [sys.executable, "-m", "headrace_cli", "console", "--port", "0"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_it_refuses_to_listen_to_others_without_tls_in_a_line() -> None:
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
