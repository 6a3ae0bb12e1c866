"""The health of a worker, from its /readyz and /metrics."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx
from prometheus_client.parser import text_string_to_metric_families

MAX_BYTES = 1_048_576


@dataclass(frozen=True, slots=True)
class WorkerHealth:
    """`problems`: why it is not ready. `counters`: settled records by outcome since the worker's start."""

    ready: bool
    problems: Sequence[str] = ()
    counters: Mapping[str, int] = field(default_factory=dict)


async def health_of(http: httpx.AsyncClient, address: str) -> WorkerHealth:
    """Never raises: a worker that does not answer is a problem."""
    try:
        ready = await _read(http, f"{address}/readyz")
        metrics = await _read(http, f"{address}/metrics")
    except (httpx.HTTPError, ValueError) as error:
        return WorkerHealth(False, [f"{address} does not answer ({type(error).__name__})"])
    return WorkerHealth(ready[0] == 200, problems(ready[1]), records_by_outcome(metrics[1]))


def problems(body: bytes) -> list[str]:
    """The problems in the body of /readyz, of the worker and of its listener."""
    try:
        report = json.loads(body)
        parts = [report, report["listener"]] if "listener" in report else [report]
        return [str(problem) for part in parts for problem in part["problems"]]
    except (ValueError, KeyError, TypeError):
        return ["the answer of /readyz is not a worker's report"]


def records_by_outcome(body: bytes) -> dict[str, int]:
    """The settled records by outcome, from the body of /metrics."""
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
            if len(body) > MAX_BYTES:
                raise ValueError("the answer is too large for a worker")
    return answer.status_code, bytes(body)
