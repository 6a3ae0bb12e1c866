"""What the link worker reads and asks of itself: requests, sweep markers, and the receipts of others."""

from typing import Any, ClassVar

from pydantic import BaseModel, PrivateAttr

from headrace_schemas.fields import MAX_VERSION, RecordKind
from headrace_schemas.headers import schema_pair
from headrace_schemas.links import ProductLinks, RelinkRequest, Sweep
from headrace_schemas.receipts import Receipts
from headrace_worker.stage import Arrival, Output


class Arrived(BaseModel):
    """A record whose place in its topic is its version: of two that ask for the same, the last stands for both."""

    _arrival: Arrival = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        """The validation context is the record's place."""
        self._arrival = context

    @property
    def arrival(self) -> Arrival:
        """Where it was read."""
        return self._arrival

    @property
    def version(self) -> int:
        """Its offset + 1. A replay is the last of all: its own offset, in another topic, says nothing."""
        return MAX_VERSION if self._arrival.replayed else self._arrival.offset + 1


class SweepMarker(Sweep, Arrived):
    """A sweep marker as it was read."""


class Request(RelinkRequest, Arrived):
    """A relink request as it was read."""

    beside: ClassVar[tuple[type[Sweep], ...]] = (SweepMarker,)


class Reported(Receipts, Arrived):
    """The receipts of one batch as they were read. They have no key, and no two of them are about the same thing."""

    kind: ClassVar[RecordKind] = "receipts"
    keyed: ClassVar[bool] = False

    @property
    def id(self) -> str:
        """The record's own place."""
        return f"{self.arrival.partition}-{self.arrival.offset}"


def request(topic: str, product_id: str) -> Output:
    """Asks for one product."""
    return _output(topic, product_id, RelinkRequest.model_construct(product_id=product_id))


def sweep(topic: str, part: int = 0, parts: int = 1) -> Output:
    """Asks for all products, or for a part of them."""
    marker = Sweep(part=part, parts=parts)
    return _output(topic, marker.id, marker)


def links(topic: str, links: ProductLinks) -> Output:
    """A product's link set."""
    return _output(topic, links.product_id, links)


def _output(topic: str, key: str, record: RelinkRequest | Sweep | ProductLinks) -> Output:
    return Output(topic, key.encode(), record.model_dump_json(exclude_none=True).encode(), (schema_pair(record),))
