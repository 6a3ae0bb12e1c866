"""Every call of a store is measured, and a failed one is counted by the kind of its failure."""

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any

import asyncpg
import httpx
import pytest
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from headrace_clients.postgres_errors import postgres_errors
from headrace_clients.qdrant import qdrant_errors
from headrace_worker.stage import BatchRejected, Unavailable
from headrace_worker.store_calls import CALL_SECONDS, ERRORS


def value(collector: Any, name: str, **labels: str) -> float:
    found = [
        one.value
        for family in collector.collect()
        for one in family.samples
        if (one.name, one.labels) == (name, labels)
    ]
    return found[0] if found else 0.0


def answered(status: int) -> UnexpectedResponse:
    return UnexpectedResponse(status, "reason", b"{}", httpx.Headers())


@pytest.mark.parametrize(
    ("store", "measured", "error", "kind"),
    [
        ("qdrant", qdrant_errors, answered(400), "rejected"),
        ("qdrant", qdrant_errors, answered(401), "credentials"),
        ("qdrant", qdrant_errors, answered(429), "overloaded"),
        ("qdrant", qdrant_errors, answered(500), "other"),
        ("qdrant", qdrant_errors, TimeoutError(), "timeout"),
        ("qdrant", qdrant_errors, ResponseHandlingException(httpx.ReadTimeout("")), "timeout"),
        ("qdrant", qdrant_errors, ResponseHandlingException(httpx.ConnectError("")), "unreachable"),
        ("postgres", postgres_errors, asyncpg.NotNullViolationError(""), "rejected"),
        ("postgres", postgres_errors, asyncpg.InvalidPasswordError(""), "credentials"),
        ("postgres", postgres_errors, asyncpg.TooManyConnectionsError(""), "overloaded"),
        ("postgres", postgres_errors, asyncpg.QueryCanceledError(""), "timeout"),
        ("postgres", postgres_errors, TimeoutError(), "timeout"),
        ("postgres", postgres_errors, ConnectionRefusedError(), "unreachable"),
        ("postgres", postgres_errors, asyncpg.InterfaceError(""), "other"),
    ],
)
def test_a_failed_call_is_measured_and_counted_once_by_its_kind(
    store: str, measured: Callable[..., AbstractContextManager[None]], error: Exception, kind: str
) -> None:
    def counts() -> tuple[float, float]:
        calls = value(CALL_SECONDS, "headrace_store_call_seconds_count", store=store, operation="read")
        return calls, value(ERRORS, "headrace_store_errors_total", store=store, kind=kind)

    calls, errors = counts()
    with suppress(Unavailable, BatchRejected), measured(), measured("read"):
        raise error
    assert counts() == (calls + 1, errors + 1)
