"""The health of a worker, from the /readyz and /metrics of its copies."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import httpx

from headrace_clients.worker_copies import MOST_ASKED, report_of
from headrace_clients.worker_metrics import WorkerMetrics


@dataclass(frozen=True, slots=True)
class WorkerHealth:
    """`problems`: why it is not ready. `notes`: what else it reports. `counters`: settled records by outcome since the
    worker's start. `answered`: whether it was reached. `copies`: the health of each copy that answered, by its address.
    """

    ready: bool
    problems: Sequence[str] = ()
    notes: Sequence[str] = ()
    counters: Mapping[str, int] = field(default_factory=dict)
    answered: bool = True
    metrics: WorkerMetrics = field(default_factory=WorkerMetrics, compare=False)
    copies: Mapping[str, "WorkerHealth"] = field(default_factory=dict, compare=False)


async def health_of(http: httpx.AsyncClient, address: str) -> WorkerHealth:
    """Never raises: a worker that does not answer is a problem."""
    try:
        report = await report_of(http, address)
    except httpx.HTTPError as error:
        return WorkerHealth(False, [f"{address} does not answer ({type(error).__name__})"], answered=False)
    except ValueError as error:
        return WorkerHealth(False, [str(error)])
    return WorkerHealth(report.ready, report.problems, report.notes, report.metrics.settled, metrics=report.metrics)


async def health_of_copies(http: httpx.AsyncClient, addresses: Iterable[str]) -> WorkerHealth | None:
    """What the copies that answer say together; None if none answers. It is ready if all of them are."""
    known = sorted(set(addresses))[:MOST_ASKED]
    asked = await asyncio.gather(*(health_of(http, one) for one in known))
    copies = {address: one for address, one in zip(known, asked, strict=True) if one.answered}
    if not copies:
        return None
    found = list(copies.values())
    counters: Counter[str] = Counter()
    for one in found:
        counters.update(one.counters)
    return WorkerHealth(
        all(one.ready for one in found),
        list(dict.fromkeys(problem for one in found for problem in one.problems)),
        list(dict.fromkeys(note for one in found for note in one.notes)),
        counters,
        copies=copies,
    )
