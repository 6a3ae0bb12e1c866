"""Which of Elasticsearch's errors are about the data, and which mean that the store is unavailable.

An error is about the data only if its type is in a list here.
"""

import re
from collections.abc import Mapping
from typing import Any

from elastic_transport import TlsError
from elasticsearch import ApiError, ConnectionTimeout, TransportError

from headrace_elasticsearch.indices import DIGEST, indices
from headrace_elasticsearch.languages import ANALYZERS
from headrace_worker.stage import BatchRejected, NoAnswer, Rejected, Unavailable, UnavailableKind
from headrace_worker.store_calls import counted
from headrace_worker.store_names import StoreNames
from headrace_worker.tls_faults import TlsSettings, tls_fault

STORE = "elasticsearch"
TLS = TlsSettings(
    address="HEADRACE_ELASTICSEARCH__URL",
    switch="whether it begins with https://",
    authority="HEADRACE_ELASTICSEARCH__CA_FILE, or HEADRACE_ELASTICSEARCH__CA_FINGERPRINT",
)
CREDENTIALS = "HEADRACE_ELASTICSEARCH__API_KEY, or HEADRACE_ELASTICSEARCH__USERNAME and __PASSWORD"
CONFLICT = 409
NOT_FOUND = 404
TOO_LARGE = 413
TIMED_OUT = 408
OVERLOADED = 429

OF_THE_WORKER = frozenset({*DIGEST, *ANALYZERS})
"""Fields that no catalogue publishes: without them the index is older than the worker."""
DATA_ERRORS = frozenset({
    "document_parsing_exception", "mapper_parsing_exception", "strict_dynamic_mapping_exception",
    "x_content_parse_exception", "max_bytes_length_exceeded_exception",
})  # fmt: skip
REQUEST_ERRORS = frozenset({
    # For these Elasticsearch refuses a whole request: an id that is too long, a version out of range.
    "action_request_validation_exception", "illegal_argument_exception", "x_content_parse_exception",
})  # fmt: skip
STATES = frozenset({"index_closed_exception"})
"""Types with the status of a data error that are about the index: no change is suspect."""
SAFE_REASONS = frozenset({
    "cluster_block_exception", "index_closed_exception", "index_not_found_exception",
    "es_rejected_execution_exception", "circuit_breaking_exception", "no_shard_available_action_exception",
    "master_not_discovered_exception",
})  # fmt: skip
"""Types whose reason names a state of the cluster, never a value. The reason of another type may quote a document or a
refused key.
"""
STATES_STATUS = frozenset({401, 403, 404, 408, 429, 502, 503, 504})

_FIELD = re.compile(
    r"failed to parse field \[([^\]]+)\]|dynamic introduction of \[([^\]]+)\]|term in field=\"([^\"]+)\""
)
_PRESSURE = re.compile(
    r"(?:_operation_bytes=|operation of size \[)(\d+)"
    r"(?:, max_\w+=|\] bytes, which exceeds the maximum allowed limit of \[)(\d+)"
)
_BREAKER = re.compile(r"Data too large, data for \[.*\] would be \[.*\], which is larger than the limit of \[(\d+)")
_FIELDS = frozenset(name for index in indices(StoreNames("", "")).values() for name in index.field_names)
_DETAIL_LENGTH = 1000
_STATE_LENGTH = 300


def item_error(status: int, error: Mapping[str, Any], size: int = 0, *, alone: bool = False) -> Rejected | Unavailable:
    """What the error of one item of a bulk response means for its change. `size`: bytes of the request; `alone`: it has
    no other change.
    """
    kind, reason = str(error.get("type")), str(error.get("reason"))
    if status == OVERLOADED and (too_large := never_fits(reason, size)):
        # The sizes are those of all changes for one shard: in smaller requests only the change at fault is refused.
        return too_large if alone else Unavailable(STORE, f"{status} {kind}", suspect=True)
    if kind == "strict_dynamic_mapping_exception" and (field := _field(reason)) in OF_THE_WORKER:
        return Unavailable(STORE, f"the index has no field {field}; has `headrace stores apply` been run?")
    if status == 400 and (kind in DATA_ERRORS or (kind == "illegal_argument_exception" and "immense term" in reason)):
        return rejected(kind, reason)
    suspect = status not in STATES_STATUS and kind not in STATES
    trouble: UnavailableKind = "overloaded" if status == OVERLOADED else "other"
    detail = _state(status, kind, reason)
    if kind == "security_exception":
        trouble, detail = "credentials", detail + _sign_in(status)
    return Unavailable(STORE, detail, suspect=suspect, kind=trouble)


def request_error(error: ApiError | TransportError, size: int) -> Unavailable | BatchRejected:
    """What the failure of a whole bulk request of `size` bytes means for its changes."""
    if isinstance(error, ApiError) and error.status_code == TOO_LARGE:
        detail = f"{size} bytes are more than Elasticsearch accepts in one request"
        return counted(STORE, BatchRejected(Rejected("too_large", detail, (STORE, str(TOO_LARGE)))))
    overloaded = isinstance(error, ApiError) and error.status_code == OVERLOADED
    if overloaded and (too_large := never_fits(_reason(error), size)):
        return counted(STORE, BatchRejected(too_large))
    if isinstance(error, ApiError) and error.status_code == 400:
        kind = error_type(error)
        if kind in REQUEST_ERRORS:
            return counted(STORE, BatchRejected(rejected(kind, str(error.body["error"].get("reason")))))
    return unavailable(error)


def never_fits(reason: str, size: int) -> Rejected | None:
    """The rejection of a request of `size` bytes that is by itself larger than a limit of the node; else None.

    Elasticsearch answers 429 for it, as for an overload. The reason of a refusal has the sizes: in an overload the
    operation is smaller than the limit, and other requests use the rest.
    Source: org.elasticsearch.index.IndexingPressure, org.elasticsearch.common.breaker.ChildMemoryCircuitBreaker.
    """
    if found := _PRESSURE.search(reason):
        needed, limit = int(found[1]), int(found[2])
    elif found := _BREAKER.search(reason):
        needed, limit = size, int(found[1])
    else:
        return None
    if needed <= limit:
        return None
    detail = f"{needed} bytes are more than the node accepts, {limit}: raise its heap or its limit, or send less"
    return Rejected("too_large", detail, (STORE, str(OVERLOADED)))


def unavailable(error: ApiError | TransportError) -> Unavailable:
    """The failure of a request as Unavailable, in a text without values of the data."""
    if isinstance(error, ApiError):
        status = error.status_code
        kind = error_type(error)
        detail = _state(status, kind, _reason(error))
        if kind == "index_not_found_exception":
            detail += "; has `headrace stores apply` been run?"
        trouble: UnavailableKind = "overloaded" if status == OVERLOADED else "other"
        if status == 401 or kind == "security_exception":
            trouble, detail = "credentials", detail + _sign_in(status)
        return counted(STORE, Unavailable(STORE, detail, suspect=status not in STATES_STATUS, kind=trouble))
    failure = NoAnswer if isinstance(error, ConnectionTimeout) else Unavailable
    if fault := tls_fault(error, TLS):
        return counted(STORE, Unavailable(STORE, fault, kind="tls"))
    if isinstance(error, TlsError):
        # PinnedNode raises it, and its words say what to check.
        return counted(STORE, Unavailable(STORE, str(error.message), kind="tls"))
    return counted(STORE, failure(STORE, type(error).__name__, kind="unreachable"))


def _sign_in(status: int) -> str:
    if status == 401:
        return f": check {CREDENTIALS}"
    return f": give the rights that are missing to the owner of {CREDENTIALS}"


def rejected(kind: str, reason: str) -> Rejected:
    """A refusal. Its cause names the error's type and, if the reason names one, the field; it never has a value."""
    field = _field(reason)
    return Rejected("refused_by_store", reason[:_DETAIL_LENGTH], (STORE, kind, *([field] if field else [])))


def error_type(error: ApiError) -> str:
    """The `type` in Elasticsearch's response; the exception's name if a proxy answered instead."""
    body = error.body
    if isinstance(body, Mapping) and isinstance(body.get("error"), Mapping):
        return str(body["error"].get("type"))
    return type(error).__name__


def _reason(error: ApiError | TransportError) -> str:
    body = error.body if isinstance(error, ApiError) else None
    found = body.get("error") if isinstance(body, Mapping) else None
    return str(found.get("reason")) if isinstance(found, Mapping) else ""


def _state(status: int, kind: str, reason: str) -> str:
    return f"{status} {kind}: {reason[:_STATE_LENGTH]}" if reason and kind in SAFE_REASONS else f"{status} {kind}"


def _field(reason: str) -> str | None:
    """The field that a reason names, if the mapping has it: another name may be a value that looks like a field."""
    found = _FIELD.search(reason)
    name = next(filter(None, found.groups())) if found else ""
    return name if name.partition(".")[0] in _FIELDS and name.removesuffix(".keyword") in _FIELDS else None
