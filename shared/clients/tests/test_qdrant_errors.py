"""Each error of Qdrant is about the data or means that it is unavailable, over REST and gRPC, with the real client."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from pydantic import SecretStr
from pydantic_core import to_json
from qdrant_client import models

from headrace_clients.qdrant import check_completed, connect, qdrant_errors
from headrace_clients.settings import QdrantSettings
from headrace_worker.stage import BatchRejected, NoAnswer, Unavailable

HOST = "127.0.0.1"


@asynccontextmanager
async def rest_server(status: int, body: bytes, headers: str = "") -> AsyncIterator[QdrantSettings]:
    """A server with the same response to every request."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status} Status\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield QdrantSettings(url=f"http://{HOST}:{port}", prefer_grpc=False, timeout=5)


@asynccontextmanager
async def grpc_server(code: grpc.StatusCode) -> AsyncIterator[QdrantSettings]:
    """A server that ends every call with this code."""

    async def end(request: bytes, context: Any) -> None:
        await context.abort(code, "the reason")

    class Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, details: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(end)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Handlers(),))
    port = server.add_insecure_port(f"{HOST}:0")
    await server.start()
    try:
        yield QdrantSettings(url=f"http://{HOST}:1", grpc_port=port, prefer_grpc=True, timeout=5)
    finally:
        await server.stop(None)


async def ask(settings: QdrantSettings) -> None:
    client = connect(settings)
    try:
        with qdrant_errors():
            await client.get_collection("products")
    finally:
        await client.close()


def error_body(message: str) -> bytes:
    return to_json({"status": {"error": message}, "time": 0.0})


@pytest.mark.parametrize("status", [401, 403, 404, 408, 409, 429, 500, 502, 503, 504, 507])
async def test_an_error_that_is_not_about_the_data_is_unavailable(status: int) -> None:
    async with rest_server(status, error_body("Service internal error: no leader")) as settings:
        with pytest.raises(Unavailable, match=str(status)) as raised:
            await ask(settings)
    assert raised.value.suspect == (status == 500)


@pytest.mark.parametrize(
    ("status", "reason"), [(400, "refused_by_store"), (422, "refused_by_store"), (413, "too_large")]
)
async def test_a_refusal_of_the_data_names_its_kind_and_no_value(status: int, reason: str) -> None:
    rejections = []
    for size in (3, 5):
        message = f"Wrong input: Vector dimension error: expected dim: 4, got {size}"
        async with rest_server(status, error_body(message)) as settings:
            with pytest.raises(BatchRejected) as raised:
                await ask(settings)
        assert raised.value.rejection.detail == message
        rejections.append(raised.value.rejection)
    assert {rejection.reason for rejection in rejections} == {reason}
    assert {rejection.cause for rejection in rejections} == {("qdrant", str(status), "Wrong input")}


@pytest.mark.parametrize("body", [b"", b"<html>413</html>", b"[]", b'{"status": "error"}', b'{"status": null}'])
async def test_a_refusal_of_a_proxy_is_recognised_by_its_status(body: bytes) -> None:
    async with rest_server(413, body) as settings:
        with pytest.raises(BatchRejected) as raised:
            await ask(settings)
    assert raised.value.rejection.cause == ("qdrant", "413")


async def test_a_rate_limit_is_unavailable() -> None:
    async with rest_server(429, error_body("slow down"), "Retry-After: 7\r\n") as settings:
        with pytest.raises(Unavailable):
            await ask(settings)


async def test_a_response_that_is_not_qdrants_is_unavailable() -> None:
    async with rest_server(200, to_json({"result": "sign in first"})) as settings:
        with pytest.raises(Unavailable, match="not Qdrant's"):
            await ask(settings)


async def test_a_port_without_a_server_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        await ask(QdrantSettings(url=f"http://{HOST}:1", prefer_grpc=False, timeout=2))


@pytest.mark.parametrize(
    ("code", "reason"),
    [(grpc.StatusCode.INVALID_ARGUMENT, "refused_by_store"), (grpc.StatusCode.OUT_OF_RANGE, "too_large")],
)
async def test_a_call_refused_for_its_data_is_rejected(code: grpc.StatusCode, reason: str) -> None:
    async with grpc_server(code) as settings:
        with pytest.raises(BatchRejected) as raised:
            await ask(settings)
    assert (raised.value.rejection.reason, raised.value.rejection.cause) == (reason, ("qdrant", code.name))


@pytest.mark.parametrize("name", ["UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "UNAUTHENTICATED",
                                  "PERMISSION_DENIED", "NOT_FOUND", "ABORTED", "INTERNAL", "UNKNOWN"])  # fmt: skip
async def test_a_call_that_fails_for_another_reason_is_unavailable(name: str) -> None:
    async with grpc_server(grpc.StatusCode[name]) as settings:
        with pytest.raises(Unavailable) as raised:
            await ask(settings)
    assert raised.value.suspect == (name in ("INTERNAL", "UNKNOWN"))
    assert isinstance(raised.value, NoAnswer) == (name == "DEADLINE_EXCEEDED")


async def test_a_server_that_is_silent_has_not_answered() -> None:
    with socket.create_server((HOST, 0)) as silent:
        url = f"http://{HOST}:{silent.getsockname()[1]}"
        with pytest.raises(NoAnswer):
            await ask(QdrantSettings(url=url, prefer_grpc=False, timeout=1))


async def test_a_write_that_is_not_completed_is_unavailable() -> None:
    completed = models.UpdateResult(status=models.UpdateStatus.COMPLETED)
    check_completed([completed])
    for status in set(models.UpdateStatus) - {models.UpdateStatus.COMPLETED}:
        with pytest.raises(Unavailable, match=status.value):
            check_completed([completed, models.UpdateResult(status=status)])


async def test_the_key_is_in_no_error() -> None:
    async with rest_server(401, error_body("Must provide an API key")) as settings:
        with (
            pytest.warns(UserWarning, match="insecure connection"),
            pytest.raises(Unavailable) as raised,
        ):
            await ask(settings.model_copy(update={"api_key": SecretStr("very-secret")}))
    error: BaseException | None = raised.value
    while error is not None:
        assert "very-secret" not in f"{error!s} {error!r}"
        error = error.__cause__
