"""What a worker says of itself at /readyz and /metrics."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx
from prometheus_client.parser import text_string_to_metric_families

MOST_BYTES = 1_048_576


@dataclass(frozen=True, slots=True)
class Health:
    """`problems`: why it is not ready. `counters`: settled records by outcome, since the worker started."""

    ready: bool
    problems: Sequence[str] = ()
    counters: Mapping[str, int] = field(default_factory=dict)


async def health_of(http: httpx.AsyncClient, address: str) -> Health:
    """Never raises: that nothing answers is a problem too."""
    try:
        ready = await _read(http, f"{address}/readyz")
        metrics = await _read(http, f"{address}/metrics")
    except (httpx.HTTPError, ValueError) as error:
        return Health(False, [f"{address} does not answer ({type(error).__name__})"])
    return Health(ready[0] == 200, problems(ready[1]), records_by_outcome(metrics[1]))


def problems(body: bytes) -> list[str]:
    """From the body of /readyz: the worker's, and those of what it listens to beside its inputs."""
    try:
        report = json.loads(body)
        parts = [report, report["listener"]] if "listener" in report else [report]
        return [str(problem) for part in parts for problem in part["problems"]]
    except (ValueError, KeyError, TypeError):
        return ["/readyz says something that is not a worker's report"]


def records_by_outcome(body: bytes) -> dict[str, int]:
    """From the body of /metrics, by outcome."""
    found: dict[str, int] = {}
    for family in text_string_to_metric_families(body.decode(errors="replace")):
        if family.name == "headrace_records":
            for sample in family.samples:
                if sample.name == "headrace_records_total":
                    outcome = sample.labels.get("outcome", "")
                    found[outcome] = found.get(outcome, 0) + int(sample.value)
    return found


async def _read(http: httpx.AsyncClient, url: str) -> tuple[int, bytes]:
    body = bytearray()
    async with http.stream("GET", url) as answer:
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > MOST_BYTES:
                raise ValueError("more than a worker would say")
    return answer.status_code, bytes(body)
