"""The metrics that only the worker `link` has. They belong to the process, which runs one worker."""

from collections.abc import Iterable

from prometheus_client import Counter

from headrace_link.records import Request, SweepMarker
from headrace_worker.stage import Outcome, Superseded, Unavailable

REQUESTS = Counter("headrace_link_requests", "Requests that have their answer", ["origin"], registry=None)
COALESCED = Counter("headrace_link_coalesced", "Those of them that an earlier read had answered", registry=None)
SWEEPS = Counter("headrace_link_sweeps", "Sweeps of all products", registry=None)
SETS = Counter("headrace_link_sets", "Link sets that were published", registry=None)
ALL = (REQUESTS, COALESCED, SWEEPS, SETS)


def count_requests(answered: Iterable[tuple[Request | SweepMarker, Outcome]]) -> None:
    """Counts requests by their origin. One that is tried again is counted when it has its answer."""
    for asked, outcome in answered:
        if isinstance(asked, Request) and not isinstance(outcome, Unavailable):
            REQUESTS.labels(asked.origin).inc()
            COALESCED.inc(isinstance(outcome, Superseded))
