"""An HTTPS server that checks API keys in front of an Elasticsearch server without security.

The distribution that is installed has no index of keys: an analyzer that this index needs is missing in it.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientSession, web

HOST = "127.0.0.1"
PASSED_ON = ("content-type", "accept")
KEPT = ("content-type", "x-elastic-product")
LARGEST = 64 * 1024 * 1024


class KeyFront:
    """`keys`: the encoded keys that it accepts; `readers`: those that may not write. `url`: where it listens."""

    def __init__(self, server: str, keys: set[str], readers: set[str]) -> None:
        self.keys = keys
        self.readers = readers
        self.url = ""
        self._server = server

    async def answer(self, request: web.Request) -> web.Response:
        """As Elasticsearch answers; what it lets through, the server behind it answers."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme != "ApiKey" or key not in self.keys:
            return _refusal(401, "unable to authenticate with provided credentials")
        if key in self.readers and request.path.endswith("/_bulk"):
            return _refusal(403, "action [indices:data/write/bulk] is unauthorized for API key")
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        session: ClientSession = request.app[SESSION]
        async with session.request(
            request.method, f"{self._server}{request.path_qs}", data=await request.read(), headers=headers
        ) as answer:
            body = await answer.read()
            kept = {name: answer.headers[name] for name in KEPT if name in answer.headers}
            return web.Response(status=answer.status, body=body, headers=kept)


SESSION = web.AppKey("session", ClientSession)


@asynccontextmanager
async def key_front(
    server: str,
    context: ssl.SSLContext,
    keys: set[str],
    readers: set[str],
) -> AsyncIterator[KeyFront]:
    """The front, until the end of the block. `server`: the URL of Elasticsearch."""
    front = KeyFront(server, keys, readers)
    app = web.Application(client_max_size=LARGEST)
    app.router.add_route("*", "/{path:.*}", front.answer)
    async with ClientSession() as session:
        app[SESSION] = session
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, 0, ssl_context=context).start()
            front.url = f"https://{HOST}:{runner.addresses[0][1]}"
            yield front
        finally:
            await runner.cleanup()


def _refusal(status: int, reason: str) -> web.Response:
    error: dict[str, Any] = {"type": "security_exception", "reason": reason}
    body = {"error": {"root_cause": [error], **error}, "status": status}
    return web.json_response(body, status=status, headers={"x-elastic-product": "Elasticsearch"})
