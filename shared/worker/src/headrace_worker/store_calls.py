"""How long the calls of a store take, and how many fail.

The clients of the stores measure with these two, each in one place. They belong to the process, which runs one worker.
"""

from collections.abc import Iterable
from typing import Literal, TypeVar

from prometheus_client import Counter, Histogram

from headrace_worker.stage import BatchRejected, NoAnswer, Outcome, Rejected, Unavailable

Operation = Literal["check", "count", "embed", "other", "read", "scan", "search", "transaction", "write"]

CALL_SECONDS = Histogram(
    "headrace_store_call_seconds",
    "One call of a store",
    ["store", "operation"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    registry=None,
)
ERRORS = Counter("headrace_store_errors", "Failed calls of a store", ["store", "kind"], registry=None)
"""Kinds: unreachable, tls, credentials, timeout, overloaded, rejected, other."""

F = TypeVar("F", bound=Unavailable | BatchRejected)


def counted(store: str, failure: F) -> F:
    """Counts a failed call and returns what it raises."""
    ERRORS.labels(store, _kind(failure)).inc()
    return failure


def count_refused(store: str, outcomes: Iterable[Outcome]) -> None:
    """Counts a call in which some changes failed: once for each kind of failure."""
    for kind in {_kind(outcome) for outcome in outcomes if isinstance(outcome, Unavailable | Rejected)}:
        ERRORS.labels(store, kind).inc()


def _kind(failure: Unavailable | BatchRejected | Rejected) -> str:
    if not isinstance(failure, Unavailable):
        return "rejected"
    return "timeout" if isinstance(failure, NoAnswer) else failure.kind
