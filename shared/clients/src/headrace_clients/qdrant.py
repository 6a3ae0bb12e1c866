"""Qdrant as the workers use it: the connection, the ids of points, the fence of a write, and what an error means."""

import ssl
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import httpx
from pydantic import ValidationError
from pydantic_core import from_json
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from headrace_clients.settings import QdrantSettings
from headrace_schemas.fields import Kind
from headrace_schemas.headers import DeadReason
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.stage import BatchRejected, NoAnswer, Rejected, Unavailable, UnavailableKind
from headrace_worker.store_calls import CALL_SECONDS, Operation, counted
from headrace_worker.store_names import StoreNames
from headrace_worker.tls_faults import TlsSettings, grpc_tls_fault, tls_fault

STORE = "qdrant"
VECTOR = "dense"
"""The name of the one vector of an entity's point."""
IDLE_SECONDS = 2.0
"""The client closes a connection that is idle for this long: before the server does, which closes it after 5 s."""
LOW_BITS = 32
LOW_MASK = (1 << LOW_BITS) - 1

REFUSED_STATUS: dict[int, DeadReason] = {400: "refused_by_store", 413: "too_large", 422: "refused_by_store"}
"""The HTTP status codes that are about the data."""
REFUSED_CODE: dict[grpc.StatusCode, DeadReason] = {
    grpc.StatusCode.INVALID_ARGUMENT: "refused_by_store",
    grpc.StatusCode.OUT_OF_RANGE: "too_large",
}
"""The same over gRPC. The server's gRPC library answers OUT_OF_RANGE to a message above its size limit."""
STATUS_KINDS: Mapping[int, UnavailableKind] = {401: "credentials", 403: "credentials", 429: "overloaded"}
CREDENTIALS = ": check HEADRACE_QDRANT__API_KEY"
TLS = TlsSettings(
    address="HEADRACE_QDRANT__URL",
    switch="whether it begins with https://",
    authority="HEADRACE_QDRANT__CA_FILE",
)
BROKEN_CODES = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
CALL_KINDS: Mapping[grpc.StatusCode, UnavailableKind] = {
    grpc.StatusCode.UNAVAILABLE: "unreachable",
    grpc.StatusCode.DEADLINE_EXCEEDED: "unreachable",
    grpc.StatusCode.UNAUTHENTICATED: "credentials",
    grpc.StatusCode.PERMISSION_DENIED: "credentials",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "overloaded",
}
REFUSAL_PREFIXES = (
    "Wrong input",
    "Bad request",
    "Bad input",
    "Format error in JSON body",
    "Validation error in JSON body",
)
"""Qdrant's messages about bad data begin with one of these; values follow."""
MESSAGE_LIMIT = 500
"""Characters."""


def connect(settings: QdrantSettings) -> AsyncQdrantClient:
    """A client that sends nothing until its first call: the server may be down."""
    client = AsyncQdrantClient(
        url=settings.url,
        grpc_port=settings.grpc_port,
        prefer_grpc=settings.prefer_grpc,
        api_key=settings.api_key.get_secret_value() if settings.api_key else None,
        timeout=settings.timeout,
        check_compatibility=False,
        limits=httpx.Limits(keepalive_expiry=IDLE_SECONDS),
        **_trust(settings),
    )
    client.http.client.add_middleware(_freed)
    return client


def _trust(settings: QdrantSettings) -> dict[str, Any]:
    """The authorities of the settings, for REST and for gRPC; without a setting, the public ones of the client."""
    if settings.ca_file is None:
        return {}
    return {
        "verify": ssl.create_default_context(cafile=settings.ca_file),
        "grpc_options": {"root_certificates": Path(settings.ca_file).read_bytes()},
    }


def collection_of(kind: Kind, names: StoreNames) -> str:
    """The physical collection of a kind, until `headrace rebuild` makes another one."""
    return names.of_model(SOURCE_NAMES[kind])


def current_collection(kind: Kind, names: StoreNames) -> str:
    """The alias of the physical collection of a kind, through which workers read and write; `headrace rebuild` moves
    it.
    """
    return f"{collection_of(kind, names)}__current"


@lru_cache(maxsize=8192)
def point_id(entity_id: str) -> str:
    """The UUIDv5 of an entity's id, because Qdrant's ids are UUIDs or integers. Each write needs it several times."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, entity_id))


def version_fields(version: int) -> dict[str, int]:
    """The version in the payload: whole for readers, and in two halves of 32 bits for the fence."""
    return {"version": version, "version_hi": version >> LOW_BITS, "version_lo": version & LOW_MASK}


def below(version: int) -> models.Filter:
    """Matches the points whose version is lower, exactly for every version from 1 to 2^63-1.

    Qdrant compares ranges as float64, in which neighbouring versions above 2^53 are equal. So the filter compares the
    two halves of the version.
    """
    high, low = version >> LOW_BITS, version & LOW_MASK
    same_high = models.FieldCondition(key="version_hi", match=models.MatchValue(value=high))
    lower_low = models.FieldCondition(key="version_lo", range=models.Range(lt=low))
    return models.Filter(
        should=[
            models.FieldCondition(key="version_hi", range=models.Range(lt=high)),
            models.Filter(must=[same_high, lower_low]),
        ]
    )


async def vector_size(client: AsyncQdrantClient, collection: str, name: str) -> int | None:
    """The dimension of the vectors of this name in a collection; None if the collection has none."""
    vectors = (await client.get_collection(collection)).config.params.vectors
    return vectors[name].size if isinstance(vectors, dict) and name in vectors else None


def check_completed(results: Iterable[models.UpdateResult]) -> None:
    """Raises Unavailable unless every write is completed: a write that is only acknowledged may still fail."""
    for result in results:
        if result.status is not models.UpdateStatus.COMPLETED:
            raise Unavailable(STORE, f"a write is only {result.status.value}")


async def _freed(request: httpx.Request, send: Callable[[httpx.Request], Awaitable[httpx.Response]]) -> httpx.Response:
    """Sends a request such that its body, of up to 32 MiB, is freed with the response.

    The stream of httpx's response refers to the response, and the response to the request: without this, bodies stay
    until Python searches for cycles, which a worker seldom does.
    """
    response = await send(request)
    response.stream = httpx.ByteStream(b"")
    return response


@contextmanager
def qdrant_errors(operation: Operation | None = None) -> Iterator[None]:
    """Turns the client's errors, over REST and over gRPC, into BatchRejected or Unavailable, without credentials.

    It counts them, and measures the call. `operation`: what the call does; None around calls that are measured alone.
    """
    try:
        with CALL_SECONDS.labels(STORE, operation).time() if operation else nullcontext():
            yield
    except UnexpectedResponse as error:
        raise counted(STORE, _response_error(error)) from error
    except grpc.RpcError as error:
        raise counted(STORE, _call_error(error)) from error
    except ResourceExhaustedResponse as error:
        raise counted(STORE, Unavailable(STORE, "429 too many requests", kind="overloaded")) from error
    except ResponseHandlingException as error:
        raise counted(STORE, _no_response(error.source)) from error
    except TimeoutError as error:
        raise counted(STORE, NoAnswer(STORE, "no answer in time", kind="unreachable")) from error


def _response_error(error: UnexpectedResponse) -> BatchRejected | Unavailable:
    status, message = error.status_code or 0, _message(error.content)
    if reason := REFUSED_STATUS.get(status):
        return BatchRejected(_rejected(reason, str(status), message, error))
    kind = STATUS_KINDS.get(status, "other")
    detail = f"{status} {message or error.reason_phrase}{_hint(status == 404)}{CREDENTIALS * (kind == 'credentials')}"
    return Unavailable(STORE, detail, suspect=status == 500, kind=kind)


def _call_error(error: grpc.RpcError) -> BatchRejected | Unavailable:
    # The base class in grpc declares no methods, but every error of a call has these two.
    call: Any = error
    code, message = call.code(), str(call.details())[:MESSAGE_LIMIT]
    if reason := REFUSED_CODE.get(code):
        return BatchRejected(_rejected(reason, code.name, message, error))
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return NoAnswer(STORE, f"{code.name} {message}", kind=CALL_KINDS.get(code, "other"))
    kind = CALL_KINDS.get(code, "other")
    if kind == "unreachable" and (fault := grpc_tls_fault(message, TLS)):
        return Unavailable(STORE, fault, kind="tls")
    missing = code is grpc.StatusCode.NOT_FOUND
    detail = f"{code.name} {message}{_hint(missing)}{CREDENTIALS * (kind == 'credentials')}"
    return Unavailable(STORE, detail, suspect=code in BROKEN_CODES, kind=kind)


def _rejected(reason: DeadReason, code: str, message: str, error: Exception) -> Rejected:
    prefix = next((prefix for prefix in REFUSAL_PREFIXES if message.startswith(prefix)), None)
    return Rejected(reason, message, (STORE, code, prefix) if prefix else (STORE, code), error)


def _message(content: bytes) -> str:
    try:
        answer = from_json(content)
        return str(answer["status"]["error"])[:MESSAGE_LIMIT]
    except (ValueError, KeyError, TypeError):
        return ""


def _hint(missing: bool) -> str:
    return "; has `headrace stores apply` been run?" if missing else ""


def _no_response(source: Exception) -> Unavailable:
    if isinstance(source, ValidationError):
        return Unavailable(STORE, "the response is not Qdrant's")
    if isinstance(source, httpx.ReadTimeout):
        return NoAnswer(STORE, "no answer in time", kind="unreachable")
    if fault := tls_fault(source, TLS):
        return Unavailable(STORE, fault, kind="tls")
    return Unavailable(STORE, f"cannot be reached: {type(source).__name__}", kind="unreachable")
