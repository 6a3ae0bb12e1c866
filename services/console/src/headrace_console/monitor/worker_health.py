"""The health of a worker, from the /readyz and /metrics of its copies."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import httpx
from prometheus_client.parser import text_string_to_metric_families

from headrace_clients.worker_copies import MOST_ASKED, read_route, report_in


@dataclass(frozen=True, slots=True)
class WorkerHealth:
    """`problems`: why it is not ready. `notes`: what else it reports. `counters`: settled records by outcome since the
    worker's start. `answered`: whether it was reached.
    """

    ready: bool
    problems: Sequence[str] = ()
    notes: Sequence[str] = ()
    counters: Mapping[str, int] = field(default_factory=dict)
    answered: bool = True


async def health_of(http: httpx.AsyncClient, address: str) -> WorkerHealth:
    """Never raises: a worker that does not answer is a problem."""
    try:
        status, body = await read_route(http, f"{address}/readyz")
        _, metrics = await read_route(http, f"{address}/metrics")
    except (httpx.HTTPError, ValueError) as error:
        return WorkerHealth(False, [f"{address} does not answer ({type(error).__name__})"], answered=False)
    try:
        report = report_in(body)
    except ValueError as error:
        return WorkerHealth(False, [str(error)])
    return WorkerHealth(status == 200, report.problems, report.notes, records_by_outcome(metrics))


async def health_of_copies(http: httpx.AsyncClient, addresses: Iterable[str]) -> WorkerHealth | None:
    """What the copies that answer say together; None if none answers. It is ready if all of them are."""
    known = sorted(set(addresses))[:MOST_ASKED]
    found = [one for one in await asyncio.gather(*(health_of(http, one) for one in known)) if one.answered]
    if not found:
        return None
    counters: Counter[str] = Counter()
    for one in found:
        counters.update(one.counters)
    return WorkerHealth(
        all(one.ready for one in found),
        list(dict.fromkeys(problem for one in found for problem in one.problems)),
        list(dict.fromkeys(note for one in found for note in one.notes)),
        counters,
    )


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
