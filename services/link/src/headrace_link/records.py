"""The records that the link worker reads and writes: requests, sweep markers, receipts and link sets."""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, PrivateAttr

from headrace_runtime.trace_context import TraceContext, parsed, trace_headers
from headrace_schemas.fields import MAX_VERSION, RecordKind
from headrace_schemas.headers import MODEL, OCCURRED_AT, PUBLISHED_AT, schema_pair
from headrace_schemas.links import ProductLinks, RelinkRequest, Sweep
from headrace_schemas.receipts import Receipt, Receipts
from headrace_worker.stage import Arrival, Output

WORKER = "qdrant"
"""The worker whose receipts say that a change is visible in Qdrant."""
EXPLICIT = 2**62
"""A bit of the version of explicit requests, above every offset."""

Carried = tuple[tuple[str, bytes], ...]
"""Headers that a record carries on from the change that causes it: its trace, and the times of the change."""
ORIGIN_HEADERS = (PUBLISHED_AT, OCCURRED_AT)
FROM_SWEEP = ("headrace-request-origin", b"sweep")
"""The header of a request that a sweep makes. Only the count of requests by origin depends on it."""


class Arrived(BaseModel):
    """A record that uses its offset as its version: of two requests for one product, the last one is the newest."""

    _arrival: Arrival = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        """The validation context is the record's arrival."""
        self._arrival = context

    @property
    def arrival(self) -> Arrival:
        """Where the record was read."""
        return self._arrival

    @property
    def carried(self) -> Carried:
        """The headers that records made from it carry on."""
        own = [*trace_headers(self._arrival.headers), *(p for p in self._arrival.headers if p[0] in ORIGIN_HEADERS)]
        return tuple((name, value) for name, value in own if value is not None)

    @property
    def version(self) -> int:
        """The offset + 1. A replay is newer than every live record; its offset belongs to another topic."""
        return MAX_VERSION if self._arrival.replayed else self._arrival.offset + 1

    @property
    def answered_by_read(self) -> bool:
        """Whether a read that is later than this record answers it, even if the read published nothing."""
        return not self._arrival.replayed


class SweepMarker(Sweep, Arrived):
    """A sweep marker with its arrival."""

    takes_replays: ClassVar[bool] = True


class Request(RelinkRequest, Arrived):
    """A relink request with its arrival. A replay of one is a new request, because links come from current data."""

    takes_replays: ClassVar[bool] = True
    beside: ClassVar[tuple[type[Sweep], ...]] = (SweepMarker,)

    @property
    def version(self) -> int:
        """An explicit request counts as newer than every other: the runtime gives the stage only the newest request
        for a product of each batch, and the turn of an explicit request answers the others too.
        """
        return super().version | EXPLICIT if self.explicit else super().version

    @property
    def explicit(self) -> bool:
        """Whether the set is published even if it has not changed."""
        return self.republish or self.arrival.replayed

    @property
    def origin(self) -> Literal["receipt", "explicit", "sweep"]:
        """What made it: a change, an operator, or a sweep."""
        if FROM_SWEEP in self.arrival.headers:
            return "sweep"
        return "explicit" if self.explicit else "receipt"

    @property
    def answered_by_read(self) -> bool:
        """Only its own turn answers an explicit request: another may have published nothing."""
        return not self.explicit


class Reported(Receipts, Arrived):
    """The receipts of one batch, with their arrival. They have no key, and none replaces another."""

    kind: ClassVar[RecordKind] = "receipts"
    keyed: ClassVar[bool] = False

    _traces: dict[int, TraceContext] = PrivateAttr(default_factory=dict)

    @property
    def id(self) -> str:
        """The record's partition and offset."""
        return f"{self.arrival.partition}-{self.arrival.offset}"

    def visible(self) -> Iterator[Receipt]:
        """The receipts of changes that became visible in Qdrant."""
        if self.worker == WORKER:
            for receipt in self.receipts:
                if receipt.outcome == "applied" and receipt.id is not None:
                    yield receipt

    def continue_traces(self, continue_trace: Callable[[Receipt], TraceContext]) -> None:
        """The runtime gives each visible change its span in this worker."""
        self._traces = {id(receipt): continue_trace(receipt) for receipt in self.visible()}

    def trace_of(self, receipt: Receipt) -> TraceContext | None:
        """The trace that the records made from this receipt continue; None if it is in no trace."""
        return self._traces.get(id(receipt)) or parsed((receipt.traceparent or "").encode())


def request(
    topic: str, product_id: str, carried: Carried = (), also_from: tuple[bytes, ...] = (), *, republish: bool = False
) -> Output:
    """A request for one product. `carried`: the headers of its cause, `also_from`: see Output."""
    asked = RelinkRequest.model_construct(product_id=product_id, republish=republish)
    return _output(topic, product_id, asked, carried, also_from)


def sweep(
    topic: str,
    part: int = 0,
    parts: int = 1,
    carried: Carried = (),
    also_from: tuple[bytes, ...] = (),
    *,
    republish: bool = False,
) -> Output:
    """A marker that requests all products, or one part of them. `carried` and `also_from`: as for a request."""
    marker = Sweep(part=part, parts=parts, republish=republish)
    return _output(topic, marker.id, marker, carried, also_from)


def links(topic: str, links: ProductLinks, model: str, carried: Carried = ()) -> Output:
    """The record of a link set of this model. `carried`: of the request that it answers."""
    return _output(topic, links.product_id, links, ((MODEL, model.encode()), *carried))


def _output(
    topic: str,
    key: str,
    record: RelinkRequest | Sweep | ProductLinks,
    carried: Carried,
    also_from: tuple[bytes, ...] = (),
) -> Output:
    value = record.model_dump_json(exclude_none=True).encode()
    return Output(topic, key.encode(), value, (schema_pair(record), *carried), also_from)
