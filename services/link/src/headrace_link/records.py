"""The records that the link worker reads and writes: requests, sweep markers, receipts and link sets."""

from typing import Any, ClassVar

from pydantic import BaseModel, PrivateAttr

from headrace_schemas.fields import MAX_VERSION, RecordKind
from headrace_schemas.headers import schema_pair
from headrace_schemas.links import ProductLinks, RelinkRequest, Sweep
from headrace_schemas.receipts import Receipts
from headrace_worker.stage import Arrival, Output


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
    def version(self) -> int:
        """The offset + 1. A replay is newer than every live record; its offset belongs to another topic."""
        return MAX_VERSION if self._arrival.replayed else self._arrival.offset + 1


class SweepMarker(Sweep, Arrived):
    """A sweep marker with its arrival."""

    takes_replays: ClassVar[bool] = True


class Request(RelinkRequest, Arrived):
    """A relink request with its arrival. A replay of one is a new request, because links come from current data."""

    takes_replays: ClassVar[bool] = True
    beside: ClassVar[tuple[type[Sweep], ...]] = (SweepMarker,)


class Reported(Receipts, Arrived):
    """The receipts of one batch, with their arrival. They have no key, and none replaces another."""

    kind: ClassVar[RecordKind] = "receipts"
    keyed: ClassVar[bool] = False

    @property
    def id(self) -> str:
        """The record's partition and offset."""
        return f"{self.arrival.partition}-{self.arrival.offset}"


def request(topic: str, product_id: str) -> Output:
    """A request for one product."""
    return _output(topic, product_id, RelinkRequest.model_construct(product_id=product_id))


def sweep(topic: str, part: int = 0, parts: int = 1) -> Output:
    """A marker that requests all products, or one part of them."""
    marker = Sweep(part=part, parts=parts)
    return _output(topic, marker.id, marker)


def links(topic: str, links: ProductLinks) -> Output:
    """The record of a link set."""
    return _output(topic, links.product_id, links)


def _output(topic: str, key: str, record: RelinkRequest | Sweep | ProductLinks) -> Output:
    return Output(topic, key.encode(), record.model_dump_json(exclude_none=True).encode(), (schema_pair(record),))
