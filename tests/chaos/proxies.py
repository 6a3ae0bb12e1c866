"""A TCP proxy before a server, whose connections can be cut, slowed and silenced while it runs."""

import asyncio
import contextlib

HOST = "127.0.0.1"
CHUNK = 65_536


class FaultyProxy:
    """Forwards to `server_port` on `port`. `delay`: seconds that each chunk waits. `cut`: the ends of connections
    that were reset so far.
    """

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.delay = 0.0
        self._speaking = asyncio.Event()
        self._speaking.set()
        self.cut = 0

    async def start(self) -> None:
        """Listens on a free port."""
        self._serving = await asyncio.start_server(self._accept, HOST, 0)
        self.port = self._serving.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._serving is not None:
            self._serving.close()
        self.cut_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut_all(self) -> None:
        """Resets every open connection."""
        for writer in list(self._open):
            writer.transport.abort()
        self.cut += len(self._open)
        self._open.clear()

    def silence(self) -> None:
        """Forwards nothing until `heal`; connections stay open, as when a network drops packets."""
        self._speaking.clear()

    def heal(self) -> None:
        """Forwards everything at once again."""
        self.delay = 0.0
        self._speaking.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection(HOST, self._server_port)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, server_writer}
        self._open |= ends
        directions = [
            asyncio.create_task(self._forward(reader, server_writer)),
            asyncio.create_task(self._forward(server_reader, writer)),
        ]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
            self._open -= ends
            for end in ends:
                end.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK):
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self._speaking.wait()
                writer.write(chunk)
                await writer.drain()
