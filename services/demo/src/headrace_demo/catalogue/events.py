"""The records of the source topics: changes and malformed records."""

import json
from dataclasses import dataclass
from typing import Any, Literal

from headrace_schemas.changes import ID_FIELDS
from headrace_schemas.fields import Kind

Cause = Literal["create", "reprice", "reword", "delete", "recreate", "duplicate", "late"]
"""Why a change is published. duplicate: the same change again; late: an older change after a newer one.

For a keyword, reprice changes the popularity.
"""


@dataclass(frozen=True, slots=True)
class Change:
    """A change that every worker can decode. `record`: the value on the topic, before it is encoded as JSON."""

    kind: Kind
    cause: Cause
    record: dict[str, Any]

    @property
    def id(self) -> str:
        """The entity's id."""
        return str(self.record[ID_FIELDS[self.kind]])

    @property
    def version(self) -> int:
        """The version, which orders the changes of one id."""
        return int(self.record["version"])

    @property
    def deleted(self) -> bool:
        """Whether the change deletes the entity."""
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
    """A Kafka record that no worker may apply. `defect`: what is wrong, one of
    `malformed_records.DEFECTS`.
    """

    kind: Kind
    defect: str
    key: bytes
    value: bytes | None


Event = Change | Malformed


def encode(record: dict[str, Any]) -> bytes:
    """JSON in UTF-8 without spaces."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
