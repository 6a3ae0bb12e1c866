"""Which of Qdrant's errors are about the data, and which say nothing about it, over REST and over gRPC."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc  # type: ignore[import-untyped]
from pydantic import ValidationError
from pydantic_core import from_json
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from headrace_schemas.headers import DeadReason
from headrace_worker.stage import BatchRejected, Rejected, Unavailable

STORE = "qdrant"
REFUSED_STATUS: dict[int, DeadReason] = {400: "refused_by_store", 413: "too_large", 422: "refused_by_store"}
REFUSED_CODE: dict[grpc.StatusCode, DeadReason] = {
    grpc.StatusCode.INVALID_ARGUMENT: "refused_by_store",
    grpc.StatusCode.OUT_OF_RANGE: "too_large",
}
"""OUT_OF_RANGE is what the server's gRPC library answers to a message above its limit."""
BROKEN_CODES = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
KINDS_OF_FAULT = (
    "Wrong input",
    "Bad request",
    "Bad input",
    "Format error in JSON body",
    "Validation error in JSON body",
)
"""What Qdrant's messages for bad data begin with; what follows holds values."""
MESSAGE_LIMIT = 500


@contextmanager
def qdrant_errors() -> Iterator[None]:
    """Turns what the client raises into BatchRejected or Unavailable; the message holds no credentials."""
    try:
        yield
    except UnexpectedResponse as error:
        raise _judged_response(error) from error
    except grpc.RpcError as error:
        raise _judged_call(error) from error
    except ResourceExhaustedResponse as error:
        raise Unavailable(STORE, "429 too many requests") from error
    except ResponseHandlingException as error:
        raise Unavailable(STORE, _without_an_answer(error.source)) from error
    except TimeoutError as error:
        raise Unavailable(STORE, "no answer in time") from error


def _judged_response(error: UnexpectedResponse) -> BatchRejected | Unavailable:
    status, message = error.status_code or 0, _message(error.content)
    if reason := REFUSED_STATUS.get(status):
        return BatchRejected(_rejected(reason, str(status), message, error))
    return Unavailable(STORE, f"{status} {message or error.reason_phrase}{_hint(status == 404)}", suspect=status == 500)


def _judged_call(error: grpc.RpcError) -> BatchRejected | Unavailable:
    # grpc's base class declares nothing; every error of a call has these two.
    call: Any = error
    code, message = call.code(), str(call.details())[:MESSAGE_LIMIT]
    if reason := REFUSED_CODE.get(code):
        return BatchRejected(_rejected(reason, code.name, message, error))
    missing = code is grpc.StatusCode.NOT_FOUND
    return Unavailable(STORE, f"{code.name} {message}{_hint(missing)}", suspect=code in BROKEN_CODES)


def _rejected(reason: DeadReason, code: str, message: str, error: Exception) -> Rejected:
    fault = next((kind for kind in KINDS_OF_FAULT if message.startswith(kind)), None)
    return Rejected(reason, message, (STORE, code, fault) if fault else (STORE, code), error)


def _message(content: bytes) -> str:
    try:
        answer = from_json(content)
        return str(answer["status"]["error"])[:MESSAGE_LIMIT]
    except (ValueError, KeyError, TypeError):
        return ""


def _hint(missing: bool) -> str:
    return "; has `headrace stores apply` been run?" if missing else ""


def _without_an_answer(source: Exception) -> str:
    if isinstance(source, ValidationError):
        return "answered something that is not Qdrant's"
    return f"cannot be reached: {type(source).__name__}"
