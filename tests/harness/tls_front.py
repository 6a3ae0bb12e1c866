"""A server that ends TLS in front of a server that has none."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

HOST = "127.0.0.1"
CHUNK = 65_536
POSTGRES_SSL_REQUEST = bytes.fromhex("0000000804d2162f")
"""Source: https://www.postgresql.org/docs/current/protocol-message-formats.html, SSLRequest."""


@asynccontextmanager
async def tls_front(port: int, context: ssl.SSLContext, *, postgres: bool = False) -> AsyncIterator[int]:
    """The port of the front. `postgres`: TLS begins after PostgreSQL's SSLRequest; a client without it is refused."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if postgres:
            try:
                assert await reader.readexactly(len(POSTGRES_SSL_REQUEST)) == POSTGRES_SSL_REQUEST
                writer.write(b"S")
                await writer.start_tls(context)
            except (AssertionError, OSError):
                writer.transport.abort()
                return
        server_reader, server_writer = await asyncio.open_connection(HOST, port)
        back = asyncio.create_task(_forward(server_reader, writer))
        try:
            await _forward(reader, server_writer)
        finally:
            back.cancel()
            for end in (writer, server_writer):
                end.transport.abort()

    listening = await asyncio.start_server(connected, HOST, 0, ssl=None if postgres else context)
    async with listening:
        yield listening.sockets[0].getsockname()[1]
        listening.close()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
