"""The HTTP routes of a worker: /healthz, /readyz and /metrics."""

from collections.abc import Sequence
from typing import Any

from faststream.asgi import AsgiResponse, get
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic_core import to_json

from headrace_shared.runtime.health import Health
from headrace_shared.runtime.metrics import Metrics


def routes(health: Health, metrics: Metrics) -> Sequence[tuple[str, Any]]:
    """Path and handler of each route. A probe reads the status: 200 or 503; the body says why."""

    @get(include_in_schema=False)
    async def healthz(scope: Any) -> AsgiResponse:
        return _json(health, 200 if health.alive() else 503)

    @get(include_in_schema=False)
    async def readyz(scope: Any) -> AsgiResponse:
        return _json(health, 200 if health.alive() and not health.problems() else 503)

    @get(include_in_schema=False)
    async def metrics_page(scope: Any) -> AsgiResponse:
        return AsgiResponse(generate_latest(metrics.registry), 200, {"Content-Type": CONTENT_TYPE_LATEST})

    return [("/healthz", healthz), ("/readyz", readyz), ("/metrics", metrics_page)]


def _json(health: Health, status: int) -> AsgiResponse:
    return AsgiResponse(to_json(health.report()), status, {"Content-Type": "application/json"})
