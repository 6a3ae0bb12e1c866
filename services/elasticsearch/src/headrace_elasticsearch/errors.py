"""What an error of Elasticsearch means: that a change can never succeed, or that nothing can be said yet.

An error speaks of the data only if its type is on a list; every other means that the store is not there for us now.
"""

import re
from collections.abc import Mapping
from typing import Any

from elasticsearch import ApiError, TransportError

from headrace_elasticsearch.indices import indices
from headrace_worker.stage import BatchRejected, Rejected, Unavailable

STORE = "elasticsearch"
CONFLICT = 409
TOO_LARGE = 413
TIMED_OUT = 408

DATA_ERRORS = frozenset({
    "document_parsing_exception", "mapper_parsing_exception", "strict_dynamic_mapping_exception",
    "x_content_parse_exception", "max_bytes_length_exceeded_exception",
})  # fmt: skip
REQUEST_ERRORS = frozenset({
    # What a request of ours can be refused for as a whole: an id that is too long, a version out of range.
    "action_request_validation_exception", "illegal_argument_exception", "x_content_parse_exception",
})  # fmt: skip
STATES = frozenset({"index_closed_exception"})
"""Types with a data error's status that speak of the index, so that no change is suspect."""
STATES_STATUS = frozenset({401, 403, 404, 408, 429, 502, 503, 504})

_FIELD = re.compile(
    r"failed to parse field \[([^\]]+)\]|dynamic introduction of \[([^\]]+)\]|term in field=\"([^\"]+)\""
)
_FIELDS = frozenset(name for index in indices().values() for name in index.field_names)
_DETAIL_LENGTH = 1000


def item_error(status: int, error: Mapping[str, Any]) -> Rejected | Unavailable:
    """What the error of one item of a bulk response means for its change."""
    kind, reason = str(error.get("type")), str(error.get("reason"))
    if status == 400 and (kind in DATA_ERRORS or (kind == "illegal_argument_exception" and "immense term" in reason)):
        return rejected(kind, reason)
    return Unavailable(STORE, f"{status} {kind}", suspect=status not in STATES_STATUS and kind not in STATES)


def request_error(error: ApiError | TransportError) -> Unavailable | BatchRejected:
    """What the failure of a whole bulk request means for its changes."""
    if isinstance(error, ApiError) and error.status_code == 400:
        kind = error_type(error)
        if kind in REQUEST_ERRORS:
            return BatchRejected(rejected(kind, str(error.body["error"].get("reason"))))
    return unavailable(error)


def unavailable(error: ApiError | TransportError) -> Unavailable:
    """The failure of a request as Unavailable, in words that hold no value of the data."""
    if isinstance(error, ApiError):
        status = error.status_code
        return Unavailable(STORE, f"{status} {error_type(error)}", suspect=status not in STATES_STATUS)
    return Unavailable(STORE, type(error).__name__)


def rejected(kind: str, reason: str) -> Rejected:
    """A refusal whose cause names the error's type and, where it can be told, our field, and never a value."""
    field = _field(reason)
    return Rejected("refused_by_store", reason[:_DETAIL_LENGTH], (STORE, kind, *([field] if field else [])))


def error_type(error: ApiError) -> str:
    """The `type` that Elasticsearch gives the error; that of the exception if something before it answered."""
    body = error.body
    if isinstance(body, Mapping) and isinstance(body.get("error"), Mapping):
        return str(body["error"].get("type"))
    return type(error).__name__


def _field(reason: str) -> str | None:
    """The field that a reason names, if it is one of ours: another could be a value that looks like one."""
    found = _FIELD.search(reason)
    name = next(filter(None, found.groups())) if found else ""
    return name if name.partition(".")[0] in _FIELDS and name.removesuffix(".keyword") in _FIELDS else None
