"""What the decoder must know of each model of records. It is found once, because a look at a model takes longer than
many of the decoder's steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from headrace_schemas.changes import CHANGES, Change
from headrace_schemas.fields import RecordKind
from headrace_schemas.headers import SCHEMA_MAJOR, schema_header
from headrace_schemas.links import ProductLinks
from headrace_schemas.quick_decoder import QuickDecoder
from headrace_worker.stage import Rejected

SOURCES = frozenset(CHANGES.values())
MOST_GROWTH = 5
"""How many times as large a worker may write a value again: 1e15 becomes 1000000000000000.0."""


@dataclass(frozen=True, slots=True)
class Input:
    """The records of one model.

    `limit`: bytes of the largest value. `written_limit`: the same for a change as a worker writes it again, with room
    for a vector; `may_grow_above` is the smallest value that can exceed it. `schema`: the header `headrace-schema` of
    its newest major; `unmarked`: that of a record without one. `beside`: the other records of the topic, by the name in
    that header. `quick`: decodes most changes; the records of other models are few, or have no version of their own.
    """

    model: type[Any]
    kind: RecordKind
    limit: int
    written_limit: int
    may_grow_above: int
    newest: int
    schema: bytes
    unmarked: bytes
    quick: QuickDecoder[Any] | None
    is_change: bool
    is_link_set: bool
    is_keyed: bool
    takes_replays: bool
    beside: Mapping[bytes, "Input"]

    @classmethod
    def of(cls, model: type[Any], max_record_bytes: int) -> Self:
        """`max_record_bytes`: of a source record; the others have twice as much."""
        is_change = issubclass(model, Change)
        newest = getattr(model, "schema_major", SCHEMA_MAJOR)
        written_limit = 2 * max_record_bytes - max_record_bytes // 8
        others: tuple[type[Any], ...] = getattr(model, "beside", ())
        return cls(
            model=model,
            kind=model.kind,
            limit=max_record_bytes * (1 if model in SOURCES else 2),
            written_limit=written_limit,
            may_grow_above=written_limit // MOST_GROWTH if model in SOURCES else 2 * max_record_bytes,
            newest=newest,
            schema=schema_header(model.schema_name, newest),
            unmarked=schema_header(model.schema_name, SCHEMA_MAJOR),
            quick=QuickDecoder(model) if is_change else None,
            is_change=is_change,
            is_link_set=model is ProductLinks,
            is_keyed=getattr(model, "keyed", True),
            takes_replays=getattr(model, "takes_replays", False),
            beside={other.schema_name.encode(): cls.of(other, max_record_bytes) for other in others},
        )

    def grown(self, change: Change) -> Rejected | None:
        """The rejection of a change that is too large when a worker writes it again, with numbers in full length.
        `embed` could not publish it, so a worker that reads the source must not apply it either.
        """
        size = len(change.model_dump_json(exclude_none=True).encode())
        if size <= self.written_limit:
            return None
        detail = f"value: {size} bytes with its numbers in full length are more than {self.written_limit}"
        return Rejected("too_large", detail, ("value",))
