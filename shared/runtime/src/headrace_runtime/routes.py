"""The HTTP routes of a worker: /healthz, /readyz and /metrics."""

from collections.abc import Sequence
from typing import Any

from faststream.asgi import AsgiResponse, get
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic_core import to_json

from headrace_runtime.health import Health
from headrace_runtime.metrics import Metrics


def routes(health: Health, metrics: Metrics, listener: Health | None = None) -> Sequence[tuple[str, Any]]:
    """Path and handler of each route. A probe reads the status: 200 or 503; the body has the reasons.

    `listener`: the health of the worker's listener; the worker is ready only if both are.
    """
    parts = [health] if listener is None else [health, listener]

    @get(include_in_schema=False)
    async def healthz(scope: Any) -> AsgiResponse:
        return _json(parts, 200 if all(part.alive() for part in parts) else 503)

    @get(include_in_schema=False)
    async def readyz(scope: Any) -> AsgiResponse:
        ready = all(part.alive() and not part.problems() for part in parts)
        return _json(parts, 200 if ready else 503)

    @get(include_in_schema=False)
    async def metrics_page(scope: Any) -> AsgiResponse:
        return AsgiResponse(generate_latest(metrics.registry), 200, {"Content-Type": CONTENT_TYPE_LATEST})

    return [("/healthz", healthz), ("/readyz", readyz), ("/metrics", metrics_page)]


def _json(parts: Sequence[Health], status: int) -> AsgiResponse:
    health, *others = (part.report() for part in parts)
    body = health | ({"listener": others[0]} if others else {})
    return AsgiResponse(to_json(body), status, {"Content-Type": "application/json"})
