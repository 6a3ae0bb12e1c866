"""The metrics of the console, and who may read them."""

import ipaddress
import time

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headrace_console.guard.admission import SIGN_IN
from headrace_runtime.exposition import page

METRICS = "/metrics"
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


class ConsoleMetrics:
    """ASGI middleware that measures each request. It answers `/metrics` only to a program on this machine, without a
    sign-in: the page has no payload, no id and no name of a person, and its labels have few values.

    Behind a proxy on this machine every request comes from a loopback address. So a request that was forwarded, or that
    names another host, is one like any other.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._registry = own = CollectorRegistry()
        ProcessCollector(registry=own)
        self._requests = Counter(
            "headrace_console_requests", "Answered requests", ["page", "method", "status"], registry=own
        )
        self._seconds = Histogram(
            "headrace_console_request_seconds", "From a request to the end of its answer", ["page"], registry=own
        )
        self._sign_ins = Counter("headrace_console_sign_ins", "Tries to sign in", ["result"], registry=own)

    @property
    def registry(self) -> CollectorRegistry:
        """The metrics."""
        return self._registry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif scope["path"] == METRICS and scope["method"] == "GET" and _from_this_machine(scope):
            content, content_type = page("console", self._registry, Headers(scope=scope).get("accept", ""))
            await Response(content, headers={"content-type": content_type})(scope, receive, send)
        else:
            await self._measured(scope, receive, send)

    async def _measured(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = 500
        started = time.perf_counter()

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            name, method = page_name(scope), scope["method"]
            self._requests.labels(name, method if method in ("GET", "POST") else "other", str(status)).inc()
            self._seconds.labels(name).observe(time.perf_counter() - started)
            if scope["path"] == SIGN_IN and status in (401, 429):
                self._sign_ins.labels("refused").inc()
            elif scope["path"] == SIGN_IN and method == "POST" and status == 303:
                self._sign_ins.labels("accepted").inc()


def page_name(scope: Scope) -> str:
    """The route of a request with the names of its parameters, and not their values: there are few of them."""
    path: str | None = getattr(scope.get("route"), "path", None)
    return path if path else "other"


def _from_this_machine(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    host = headers.get("host", "").lower()
    named = host in LOOPBACK_NAMES or host.rpartition(":")[0] in LOOPBACK_NAMES
    client, _ = scope.get("client") or ("", 0)
    return named and _is_loopback(client) and not any(name in headers for name in FORWARDED)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
