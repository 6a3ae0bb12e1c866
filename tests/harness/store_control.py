"""Breaks and repairs the server that a sink writes to."""

import asyncio

from harness.servers import Servers


class StoreControl:
    """The faults of one server, without blocking the event loop."""

    def __init__(self, servers: Servers, name: str) -> None:
        self._servers = servers
        self._name = name

    async def kill(self) -> None:
        await asyncio.to_thread(self._servers.kill, self._name)

    async def start(self) -> None:
        await asyncio.to_thread(self._servers.start, self._name)

    async def pause(self) -> None:
        await asyncio.to_thread(self._servers.pause, self._name)

    async def resume(self) -> None:
        await asyncio.to_thread(self._servers.resume, self._name)
