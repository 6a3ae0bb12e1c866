"""What is published to a source topic: a change, or something malformed."""

import json
from dataclasses import dataclass
from typing import Any, Literal

from headrace_schemas.changes import ID_FIELDS
from headrace_schemas.fields import Kind

Cause = Literal["create", "reprice", "reword", "delete", "recreate", "duplicate", "late"]
"""Why a change was made. duplicate: the same change once more; late: an older change after a newer one.

A keyword's counterpart of a price is its popularity.
"""


@dataclass(frozen=True, slots=True)
class Change:
    """A change that every worker can read. `record`: as on the topic, JSON-able."""

    kind: Kind
    cause: Cause
    record: dict[str, Any]

    @property
    def id(self) -> str:
        """The entity's id."""
        return str(self.record[ID_FIELDS[self.kind]])

    @property
    def version(self) -> int:
        """What orders the changes of one id."""
        return int(self.record["version"])

    @property
    def deleted(self) -> bool:
        """Whether the entity is gone after this change."""
        return bool(self.record["op"] == "delete")

    @property
    def key(self) -> bytes:
        """The Kafka record's key."""
        return self.id.encode()

    @property
    def value(self) -> bytes:
        """The Kafka record's value."""
        return encode(self.record)


@dataclass(frozen=True, slots=True)
class Malformed:
    """A Kafka record that no worker may apply. `defect`: what is wrong with it, one of `malformed.DEFECTS`."""

    kind: Kind
    defect: str
    key: bytes
    value: bytes | None


Event = Change | Malformed


def encode(record: dict[str, Any]) -> bytes:
    """JSON in UTF-8, as compact as it gets."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
