"""An Elasticsearch server with its own security: TLS, users of a file."""

import base64
import hashlib
import json
import secrets
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.authority import Authority
from harness.folders import reachable_folder
from headrace_local.elasticsearch import Elasticsearch
from headrace_local.ports import HOST, free_ports
from headrace_local.process import launch
from headrace_local.startup import await_ready
from headrace_local.system_user import unprivileged

PASSWORD = "canary-of-a-password-50d2"


@dataclass(frozen=True)
class SecuredElasticsearch:
    """A running server. It has two users with the password: `headrace` has every right, `reader` may not write."""

    url: str
    authority: Authority

    def ask(self, path: str) -> Any:
        """The answer to the user `headrace`. Raises OSError."""
        account = base64.b64encode(f"headrace:{PASSWORD}".encode()).decode()
        asking = urllib.request.Request(f"{self.url}{path}", headers={"Authorization": f"Basic {account}"})
        trust = ssl.create_default_context(cafile=str(self.authority.file))
        try:
            with urllib.request.urlopen(asking, context=trust, timeout=20) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            error.close()
            raise


@contextmanager
def secured_elasticsearch(authority: Authority) -> Iterator[SecuredElasticsearch]:
    """The server, until the end of the block."""
    with reachable_folder() as home:
        yield from _running(home, authority)


def _running(home: Path, authority: Authority) -> Iterator[SecuredElasticsearch]:
    http, transport = free_ports(2)
    server = Elasticsearch("elasticsearch", home, {"http": http, "transport": transport})
    server.install()
    server.prepare()
    _write_accounts(home / "config", authority)
    secured = {
        "xpack.security.enabled": "true",
        "xpack.security.authc.password_hashing.algorithm": "pbkdf2",
        "xpack.security.transport.ssl.enabled": "false",
        "xpack.security.http.ssl.enabled": "true",
        "xpack.security.http.ssl.certificate": "node.crt",
        "xpack.security.http.ssl.key": "node.key",
    }
    command = server.command()
    argv = [part for part in command.argv if "xpack.security" not in part]
    argv += [f"-E{name}={value}" for name, value in secured.items()]
    log = home / "server.log"
    process = launch(replace(command, argv=argv), home, log)
    running = SecuredElasticsearch(f"https://{HOST}:{http}", authority)
    try:
        await_ready(_Answering(running), process, log, threading.Event())  # type: ignore[arg-type]
        yield running
    finally:
        process.kill()


class _Answering:
    """The server, which is ready when it lets the user in."""

    name = "elasticsearch"

    def __init__(self, running: SecuredElasticsearch) -> None:
        self._running = running

    def is_ready(self) -> bool:
        try:
            self._running.ask("/_cluster/health?wait_for_status=yellow&timeout=1s")
        except OSError:
            return False
        return True


def _write_accounts(config: Path, authority: Authority) -> None:
    authority.sign("elasticsearch")
    chain = (authority.home / "elasticsearch.crt").read_text() + authority.file.read_text()
    (config / "node.crt").write_text(chain)
    (config / "node.key").write_text((authority.home / "elasticsearch.key").read_text())
    (config / "users").write_text(f"headrace:{_hashed(PASSWORD)}\nreader:{_hashed(PASSWORD)}\n")
    (config / "users_roles").write_text("superuser:headrace\nmonitoring_user:reader\n")
    for file in config.iterdir():
        if file.is_file():
            file.chmod(0o644)
    if user := unprivileged():
        user.owns(config)


def _hashed(password: str) -> str:
    """As Elasticsearch writes it: PBKDF2, 10,000 rounds of HMAC-SHA-512, a salt and a key of 32 bytes."""
    salt = secrets.token_bytes(32)
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 10_000, 32)
    return "{PBKDF2}10000$" + "$".join(base64.b64encode(part).decode() for part in (salt, key))
