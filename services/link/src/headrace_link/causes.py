"""The changes that cause a request, and what the request carries of them: a trace, and the times of the oldest one."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from headrace_link.records import Carried, Reported
from headrace_runtime.trace_context import TRACEPARENT, TraceContext
from headrace_schemas.fields import Kind
from headrace_schemas.headers import OCCURRED_AT, PUBLISHED_AT


class Cause(NamedTuple):
    """A change that became visible. Receipts of an older release have no `published_at`."""

    trace: TraceContext | None
    published_at: datetime | None
    occurred_at: datetime | None


def visible_changes(reports: Sequence[Reported], kind: Kind) -> dict[str, list[Cause]]:
    """The ids of this kind whose change became visible in Qdrant, each with its changes."""
    found: dict[str, list[Cause]] = {}
    for report in reports:
        for receipt in report.visible():
            if receipt.kind == kind and receipt.id is not None:
                cause = Cause(report.trace_of(receipt), receipt.published_at, receipt.occurred_at)
                found.setdefault(receipt.id, []).append(cause)
    return found


def carried_from(*groups: Sequence[Cause]) -> dict[str, Any]:
    """The `carried` and `also_from` of a record that these changes cause.

    It continues the first sampled trace and is linked to the others. If none is sampled, it continues the first, so
    that no later worker decides again.
    """
    causes = [cause for group in groups for cause in group]
    traces = [cause.trace for cause in causes if cause.trace is not None]
    sampled = [trace for trace in traces if trace.sampled]
    first, *others = [trace.traceparent for trace in sampled or traces[:1]] or [b""]
    of_trace = ((TRACEPARENT, first),) if first else ()
    return {"carried": (*of_trace, *_origin(causes)), "also_from": tuple(others)}


def _origin(causes: Sequence[Cause]) -> Carried:
    """The times of the change that was published first."""
    known = [(cause.published_at, cause.occurred_at) for cause in causes if cause.published_at is not None]
    if not known:
        return ()
    published_at, occurred_at = min(known, key=lambda times: times[0])
    published = (PUBLISHED_AT, str(round(published_at.timestamp() * 1000)).encode())
    if occurred_at is None:
        return (published,)
    try:
        return published, (OCCURRED_AT, occurred_at.astimezone(UTC).isoformat().encode())
    except OverflowError:
        # In UTC it is outside the years 1 to 9999. Only a measure is lost; an error here would stop all links.
        return (published,)
