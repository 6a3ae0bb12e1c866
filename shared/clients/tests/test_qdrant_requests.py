"""What a request to Qdrant keeps in memory."""

import asyncio
import gc
import weakref
from typing import Any

from headrace_clients.qdrant import connect
from headrace_clients.settings import QdrantSettings

ANSWER = b'{"result": {"exists": true}, "status": "ok", "time": 0.1}'


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n" + ANSWER)
    await writer.drain()
    writer.close()


async def test_a_request_is_freed_with_its_answer_and_waits_for_no_search_for_cycles() -> None:
    """Its body has up to 32 MiB, and a worker seldom searches for cycles."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    client = connect(QdrantSettings(url=f"http://{host}:{port}", prefer_grpc=False))
    requests: list[weakref.ref[Any]] = []

    async def note(request: Any, send: Any) -> Any:
        requests.append(weakref.ref(request))
        return await send(request)

    client.http.client.add_middleware(note)
    gc.disable()
    try:
        assert await client.collection_exists("products")
        assert [request() for request in requests] == [None]
    finally:
        gc.enable()
        await client.close()
        server.close()
