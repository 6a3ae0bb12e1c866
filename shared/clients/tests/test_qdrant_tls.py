"""The client trusts only a Qdrant whose certificate the authority of the settings signed, over REST and gRPC."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from harness.authority import Authority

from headrace_clients.qdrant import connect, qdrant_errors
from headrace_clients.settings import QdrantSettings
from headrace_worker.stage import Unavailable

KEY = "canary-of-qdrant-81ce"
HOST = "127.0.0.1"


@asynccontextmanager
async def rest_server(context: ssl.SSLContext) -> AsyncIterator[tuple[int, list[str]]]:
    """A server that refuses every key: its port, and the requests that it got."""
    seen: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await reader.readuntil(b"\r\n\r\n")).decode())
        body = b'{"status": {"error": "Invalid API key"}}'
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, HOST, 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], seen


@asynccontextmanager
async def grpc_server(credentials: Any) -> AsyncIterator[int]:
    """A server that refuses every key."""

    async def refuse(request: bytes, context: Any) -> None:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "Invalid API key")

    class Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, details: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(refuse)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Handlers(),))
    port: int = server.add_secure_port(f"{HOST}:0", credentials)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


async def failure(**values: Any) -> Unavailable:
    """How one call ends with these settings."""
    settings = QdrantSettings.model_validate({"api_key": KEY, "timeout": 5, **values})
    client = connect(settings)
    try:
        with pytest.raises(Unavailable) as raised, qdrant_errors():
            await client.get_collection("products")
    finally:
        await client.close()
    assert KEY not in str(raised.value)
    return raised.value


async def test_over_rest(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ours, theirs = Authority.create(tmp_path / "ours"), Authority.create(tmp_path / "theirs")
    async with rest_server(ours.server_context("node")) as (port, seen):
        at: dict[str, Any] = {"url": f"https://{HOST}:{port}", "prefer_grpc": False}
        refused = await failure(**at, ca_file=str(ours.file))
        assert f"api-key: {KEY}" in seen[0]
        assert (refused.kind, refused.detail) == ("credentials", "401 Invalid API key: check HEADRACE_QDRANT__API_KEY")
        for trusted in (str(theirs.file), None):
            untrusted = await failure(**at, ca_file=trusted)
            assert untrusted.kind == "tls"
            assert untrusted.detail.endswith(": check HEADRACE_QDRANT__CA_FILE")
        named = await failure(**at | {"url": f"https://localhost:{port}"}, ca_file=str(ours.file))
        assert named.detail.endswith("the host in HEADRACE_QDRANT__URL must be a name in the certificate")
    async with rest_server(ours.server_context("late", days=-1)) as (port, _):
        expired = await failure(url=f"https://{HOST}:{port}", prefer_grpc=False, ca_file=str(ours.file))
        assert "expired" in expired.detail
    assert KEY not in caplog.text


async def test_over_grpc(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ours, theirs = Authority.create(tmp_path / "ours"), Authority.create(tmp_path / "theirs")
    async with grpc_server(ours.grpc_credentials("node")) as port:
        at: dict[str, Any] = {"url": f"https://{HOST}:1", "grpc_port": port}
        refused = await failure(**at, ca_file=str(ours.file))
        assert refused.kind == "credentials"
        assert refused.detail.endswith(": check HEADRACE_QDRANT__API_KEY")
        for trusted in (str(theirs.file), None):
            untrusted = await failure(**at, ca_file=trusted)
            assert untrusted.kind == "tls"
            assert untrusted.detail.endswith(": check HEADRACE_QDRANT__CA_FILE")
        named = await failure(**at | {"url": "https://localhost:1"}, ca_file=str(ours.file))
        assert named.detail.endswith("the host in HEADRACE_QDRANT__URL must be a name in the certificate")
    async with grpc_server(ours.grpc_credentials("late", days=-1)) as port:
        expired = await failure(url=f"https://{HOST}:1", grpc_port=port, ca_file=str(ours.file))
        assert "expired" in expired.detail
    assert KEY not in caplog.text
