"""The client connects only to a server whose certificate the authority of the settings has signed."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from harness.authority import Authority
from pydantic import ValidationError

from headrace_elasticsearch.client import connect
from headrace_elasticsearch.indices import indices
from headrace_elasticsearch.settings import ElasticsearchSettings
from headrace_elasticsearch.stage import ElasticsearchStage
from headrace_worker.stage import Unavailable
from headrace_worker.store_names import StoreNames


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "ours")


@pytest.fixture
async def served(tmp_path: Path, authority: Authority) -> AsyncIterator[dict[str, str]]:
    """URLs. `genuine` has a certificate that the authority signed; `forged` has one of another authority of the same
    name, and sends the authority's certificate with it.
    """

    async def healthy(request: web.Request) -> web.Response:
        return web.json_response({"status": "green"}, headers={"X-Elastic-Product": "Elasticsearch"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", healthy)
    runner = web.AppRunner(app)
    await runner.setup()
    public = authority.file.read_text()
    chains = {"genuine": authority.sign("node"), "forged": Authority.create(tmp_path / "theirs").sign("node")}
    for pem in chains.values():
        pem.write_text(pem.read_text() + public)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pem)
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    yield {name: f"https://127.0.0.1:{at[1]}" for name, at in zip(chains, runner.addresses, strict=True)}
    await runner.cleanup()


async def check(url: str, fingerprint: str | None = None, file: Path | None = None) -> None:
    """Raises Unavailable unless the stage reaches the server."""
    settings = ElasticsearchSettings(
        url=url, ca_fingerprint=fingerprint, ca_file=str(file) if file else None, timeout=5
    )
    async with connect(settings) as client:
        await ElasticsearchStage(client, indices(StoreNames("", "m"))).check()


async def test_a_server_of_the_pinned_authority_is_reached(served: dict[str, str], authority: Authority) -> None:
    await check(served["genuine"], authority.fingerprint)
    await check(served["genuine"], authority.fingerprint.replace(":", "").lower())


async def test_a_server_that_only_sends_the_pinned_authority_is_refused(
    served: dict[str, str], authority: Authority
) -> None:
    with pytest.raises(
        Unavailable,
        match="or HEADRACE_ELASTICSEARCH__CA_FINGERPRINT",
    ):
        await check(served["forged"], authority.fingerprint)


async def test_a_handshake_that_arrives_in_small_pieces_succeeds(served: dict[str, str], authority: Authority) -> None:
    """A certificate chain is larger than a packet, so the network may deliver it in parts."""
    at, connections = served["genuine"].rpartition(":")[2], set[asyncio.Task[None]]()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int) -> None:
        while piece := await reader.read(most):
            writer.write(piece)
            await asyncio.sleep(0.001)
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", int(at))
        for one in (pass_on(reader, to_server, 65_536), pass_on(from_server, writer, 100)):
            connections.add(asyncio.create_task(one))

    async with await asyncio.start_server(relay, "127.0.0.1", 0) as slow:
        port = slow.sockets[0].getsockname()[1]
        await check(f"https://127.0.0.1:{port}", authority.fingerprint)
        await asyncio.gather(*connections)


async def test_the_client_names_the_host_in_the_handshake(authority: Authority) -> None:
    """A proxy that serves several hosts answers with the certificate of the host that the client names."""
    names: list[str | None] = []
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.sign("node"))
    context.sni_callback = lambda _, name, __: names.append(name)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        for host in ("localhost", "127.0.0.1"):
            with pytest.raises(Unavailable, match="no certificate of that fingerprint"):
                await check(f"https://{host}:{port}", authority.fingerprint)
    assert names == ["localhost", None]


async def test_every_request_after_the_first_is_verified_too(served: dict[str, str], authority: Authority) -> None:
    settings = ElasticsearchSettings(url=served["genuine"], ca_fingerprint=authority.fingerprint, timeout=5)
    async with connect(settings) as client:
        stage = ElasticsearchStage(client, indices(StoreNames("", "m")))
        for _ in range(3):
            await stage.check()


async def test_another_fingerprint_is_refused(served: dict[str, str]) -> None:
    with pytest.raises(Unavailable, match="no certificate of that fingerprint: check HEADRACE_ELASTIC"):
        await check(served["genuine"], "00" * 32)


async def test_a_server_of_the_authority_in_the_file_is_reached(served: dict[str, str], authority: Authority) -> None:
    await check(served["genuine"], file=authority.file)


async def test_a_server_of_another_authority_than_that_in_the_file_is_refused(
    served: dict[str, str], authority: Authority, tmp_path: Path
) -> None:
    with pytest.raises(Unavailable, match="check HEADRACE_ELASTICSEARCH__CA_FILE"):
        await check(served["forged"], file=authority.file)
    with pytest.raises(Unavailable, match="check HEADRACE_ELASTICSEARCH__CA_FILE"):
        await check(served["genuine"], file=Authority.create(tmp_path / "other").file)


async def test_with_the_authority_in_a_file_the_host_name_is_compared(
    served: dict[str, str], authority: Authority
) -> None:
    with pytest.raises(Unavailable, match="the host in HEADRACE_ELASTICSEARCH__URL must be a name in the certificate"):
        await check(served["genuine"].replace("127.0.0.1", "localhost"), file=authority.file)


async def test_without_a_setting_only_public_authorities_are_trusted(served: dict[str, str]) -> None:
    with pytest.raises(Unavailable, match="check HEADRACE_ELASTICSEARCH__CA_FILE"):
        await check(served["genuine"])


async def test_a_server_that_does_not_speak_tls_or_is_not_there_is_unavailable(authority: Authority) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    plain = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = plain.sockets[0].getsockname()[1]
    async with plain:
        with pytest.raises(Unavailable, match=r"no handshake with .* check HEADRACE_ELASTICSEARCH__URL"):
            await check(f"https://127.0.0.1:{port}", authority.fingerprint)
    with pytest.raises(Unavailable, match="ConnectionError"):
        await check(f"https://127.0.0.1:{port}", authority.fingerprint)


def test_a_file_and_a_fingerprint_at_once_are_refused(authority: Authority) -> None:
    with pytest.raises(ValidationError, match="not both"):
        ElasticsearchSettings(ca_file=str(authority.file), ca_fingerprint="00" * 32)


def test_a_url_gets_the_port_that_its_scheme_has_by_default() -> None:
    assert ElasticsearchSettings(url="https://es.example").url == "https://es.example:443"
    assert ElasticsearchSettings(url="https://es.example/a").url == "https://es.example:443/a"
    assert ElasticsearchSettings(url="http://es.example").url == "http://es.example:9200"
    assert ElasticsearchSettings(url="https://[::1]:9243").url == "https://[::1]:9243"
    for wrong in ("es.example", "es.example:9200", "https://", "ftp://es.example"):
        with pytest.raises(ValidationError, match="begins with https://"):
            ElasticsearchSettings(url=wrong)
