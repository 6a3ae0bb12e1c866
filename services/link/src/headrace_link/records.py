"""The records that the link worker reads and writes: requests, sweep markers, receipts and link sets."""

from typing import Any, ClassVar

from pydantic import BaseModel, PrivateAttr

from headrace_schemas.fields import MAX_VERSION, RecordKind
from headrace_schemas.headers import schema_pair
from headrace_schemas.links import ProductLinks, RelinkRequest, Sweep
from headrace_schemas.receipts import Receipts
from headrace_worker.stage import Arrival, Output

EXPLICIT = 2**62
"""A bit of the version of explicit requests, above every offset."""


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
    def answered_by_read(self) -> bool:
        """Only its own turn answers an explicit request: another may have published nothing."""
        return not self.explicit


class Reported(Receipts, Arrived):
    """The receipts of one batch, with their arrival. They have no key, and none replaces another."""

    kind: ClassVar[RecordKind] = "receipts"
    keyed: ClassVar[bool] = False

    @property
    def id(self) -> str:
        """The record's partition and offset."""
        return f"{self.arrival.partition}-{self.arrival.offset}"


def request(topic: str, product_id: str, *, republish: bool = False) -> Output:
    """A request for one product."""
    return _output(topic, product_id, RelinkRequest.model_construct(product_id=product_id, republish=republish))


def sweep(topic: str, part: int = 0, parts: int = 1, *, republish: bool = False) -> Output:
    """A marker that requests all products, or one part of them."""
    marker = Sweep(part=part, parts=parts, republish=republish)
    return _output(topic, marker.id, marker)


def links(topic: str, links: ProductLinks) -> Output:
    """The record of a link set."""
    return _output(topic, links.product_id, links)


def _output(topic: str, key: str, record: RelinkRequest | Sweep | ProductLinks) -> Output:
    return Output(topic, key.encode(), record.model_dump_json(exclude_none=True).encode(), (schema_pair(record),))
