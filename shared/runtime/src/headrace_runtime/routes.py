"""The HTTP routes of a worker: /healthz, /readyz and /metrics."""

from collections.abc import Sequence
from typing import Any, Protocol

from faststream.asgi import AsgiResponse, get
from pydantic_core import to_json

from headrace_runtime.health import Health
from headrace_runtime.worker_state import ready


class HasPage(Protocol):
    """The metrics of a worker."""

    def page(self, accept: str) -> tuple[bytes, str]:
        """The page for the value of a request's header Accept, and its content type."""
        ...


def routes(health: Health, metrics: HasPage, listener: Health | None = None) -> Sequence[tuple[str, Any]]:
    """Path and handler of each route. A probe reads the status: 200 or 503; the body has the reasons.

    `listener`: the health of the worker's listener; the worker is ready only if both are.
    """
    parts = [health] if listener is None else [health, listener]

    @get(include_in_schema=False)
    async def healthz(scope: Any) -> AsgiResponse:
        return _json(parts, 200 if all(part.alive() for part in parts) else 503)

    @get(include_in_schema=False)
    async def readyz(scope: Any) -> AsgiResponse:
        return _json(parts, 200 if ready(parts) else 503)

    @get(include_in_schema=False)
    async def metrics_page(scope: Any) -> AsgiResponse:
        accept = dict(scope["headers"]).get(b"accept", b"").decode("latin-1")
        content, content_type = metrics.page(accept)
        return AsgiResponse(content, 200, {"Content-Type": content_type})

    return [("/healthz", healthz), ("/readyz", readyz), ("/metrics", metrics_page)]


def _json(parts: Sequence[Health], status: int) -> AsgiResponse:
    health, *others = (part.report() for part in parts)
    body = health | ({"listener": others[0]} if others else {})
    return AsgiResponse(to_json(body), status, {"Content-Type": "application/json"})
