"""A TCP proxy before a server, which closes the connections that carry certain bytes to it."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

HOST = "127.0.0.1"
CHUNK = 65_536


class Proxy:
    """Forwards everything, but closes a connection before bytes that contain `forbidden` reach the server.

    `port`: where it listens. `cut`: the connections closed so far.
    """

    def __init__(self, server_port: int, port: int) -> None:
        self._server_port = server_port
        self.port = port
        self.forbidden: bytes | None = None
        self.cut = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client, until either side closes it or the proxy does."""
        server_reader, server_writer = await asyncio.open_connection(HOST, self._server_port)
        back = asyncio.create_task(self._forward(server_reader, writer))
        try:
            await self._forward(reader, server_writer, checked=True)
        finally:
            back.cancel()
            for end in (writer, server_writer):
                end.transport.abort()

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, checked: bool = False
    ) -> None:
        tail = b""
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(CHUNK):
                if checked and self.forbidden is not None:
                    # The bytes may begin in one chunk and end in the next.
                    if self.forbidden in tail + chunk:
                        self.cut += 1
                        return
                    tail = chunk[-len(self.forbidden) :]
                writer.write(chunk)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()


@asynccontextmanager
async def proxy(environment: Mapping[str, str], server: str) -> AsyncIterator[tuple[Proxy, dict[str, str]]]:
    """A proxy before one server, and the variables, without the prefix HEADRACE_, that lead a client through it.

    `environment`: the HEADRACE_ variables that lead to the server itself.
    """
    own = {name: value for name, value in environment.items() if name.startswith(f"HEADRACE_{server.upper()}__")}
    (port,) = {match[1] for value in own.values() for match in re.finditer(rf"{HOST}:(\d+)", value)}
    between = Proxy(int(port), 0)
    listening = await asyncio.start_server(between.serve, HOST, 0)
    between.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield (
            between,
            {
                name.removeprefix("HEADRACE_"): value.replace(f"{HOST}:{port}", f"{HOST}:{between.port}")
                for name, value in own.items()
            },
        )
        listening.close()
