"""With a fingerprint, only a server whose certificate that very authority has signed is spoken to."""

import hashlib
import ssl
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from headrace_elasticsearch.client import connect
from headrace_elasticsearch.indices import indices
from headrace_elasticsearch.settings import ElasticsearchSettings
from headrace_elasticsearch.stage import ElasticsearchStage
from headrace_worker.stage import Unavailable


@dataclass(frozen=True)
class Authority:
    """A private authority made by openssl: its files, and the fingerprint of its certificate."""

    home: Path

    @classmethod
    def create(cls, home: Path) -> "Authority":
        home.mkdir()
        openssl(home, "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=authority "
                      "-keyout authority.key -out authority.pem")  # fmt: skip
        return cls(home)

    @property
    def fingerprint(self) -> str:
        der = ssl.PEM_cert_to_DER_cert((self.home / "authority.pem").read_text())
        digest = hashlib.sha256(der).hexdigest().upper()
        return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))

    def sign(self, name: str) -> Path:
        """A server's certificate and its key, in one file."""
        openssl(self.home, "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=node "
                           f"-keyout {name}.key -out {name}.csr")  # fmt: skip
        openssl(self.home, f"x509 -req -in {name}.csr -CA authority.pem -CAkey authority.key -out {name}.crt")
        pem = self.home / f"{name}.pem"
        pem.write_text((self.home / f"{name}.crt").read_text() + (self.home / f"{name}.key").read_text())
        return pem


def openssl(home: Path, arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=home, check=True, capture_output=True, timeout=30)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "ours")


@pytest.fixture
async def served(tmp_path: Path, authority: Authority) -> AsyncIterator[dict[str, str]]:
    """URLs: `genuine` shows a certificate of the authority; `forged` another's, with the authority's own beside it."""

    async def healthy(request: web.Request) -> web.Response:
        return web.json_response({"status": "green"}, headers={"X-Elastic-Product": "Elasticsearch"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", healthy)
    runner = web.AppRunner(app)
    await runner.setup()
    public = (authority.home / "authority.pem").read_text()
    chains = {"genuine": authority.sign("node"), "forged": Authority.create(tmp_path / "theirs").sign("node")}
    for pem in chains.values():
        pem.write_text(pem.read_text() + public)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pem)
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    yield {name: f"https://127.0.0.1:{at[1]}" for name, at in zip(chains, runner.addresses, strict=True)}
    await runner.cleanup()


async def check(url: str, fingerprint: str | None) -> None:
    async with connect(ElasticsearchSettings(url=url, ca_fingerprint=fingerprint, timeout=5)) as client:
        await ElasticsearchStage(client, indices()).check()


async def test_a_server_of_the_authority_is_spoken_to(served: dict[str, str], authority: Authority) -> None:
    await check(served["genuine"], authority.fingerprint)
    await check(served["genuine"], authority.fingerprint.replace(":", "").lower())


async def test_a_server_that_only_shows_the_authority_is_not(served: dict[str, str], authority: Authority) -> None:
    with pytest.raises(Unavailable, match="TlsError"):
        await check(served["forged"], authority.fingerprint)


async def test_another_fingerprint_or_none_is_not_enough(served: dict[str, str]) -> None:
    with pytest.raises(Unavailable, match="TlsError"):
        await check(served["genuine"], "00" * 32)
    with pytest.raises(Unavailable, match="TlsError"):
        await check(served["genuine"], None)
