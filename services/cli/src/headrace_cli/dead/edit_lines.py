"""Dead letters as lines of JSON that can be edited."""

import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from pydantic_core import from_json, to_json

from headrace_letters.index import LetterIndex
from headrace_letters.letter_reader import LetterReader
from headrace_letters.letter_rows import IndexedLetter
from headrace_letters.selection import Selection, Status
from headrace_runtime.dead_letters import omitted_size
from headrace_runtime.decoder import KafkaRecord

EDITABLE: tuple[Status, ...] = ("waiting", "parked")
NOT_EDITED = ("embedding",)
"""The worker embed computes it again."""


async def exported(index: LetterIndex, reader: LetterReader, selection: Selection) -> AsyncIterator[dict[str, Any]]:
    """One object for each record whose letters can be edited: change `value`; `new_version` may be set.

    If the value is not a JSON object, `value` is null and `value_base64` has its bytes. `value_omitted` is the size of
    a value that was too large for the dead-letter topic. Raises Unavailable.
    """
    chosen = replace(selection, status=tuple(one for one in selection.status or EDITABLE if one in EDITABLE))
    async for found in index.walk(chosen):
        same_record = await index.repeated(chosen, [one.letter.id for one in found])
        found = [one for one in found if one.letter.id not in same_record]
        positions = [one.letter.at for one in found]
        records = [record async for _, record in reader.read(positions)]
        for one, record in zip(found, records, strict=True):
            if record is not None:
                yield line_of(one, record)


def line_of(found: IndexedLetter, record: KafkaRecord) -> dict[str, Any]:
    """A letter as a line. `unedited` is the digest of the value before the edit."""
    letter = found.letter
    value = parsed(record.value)
    if value is not None:
        value = {name: item for name, item in value.items() if name not in NOT_EDITED}
    return {
        "dead_id": letter.id,
        "worker": letter.worker,
        "reason": letter.reason,
        "error": letter.error,
        "kind": letter.kind,
        "new_version": None,
        "value": value,
        **({"value_base64": base64.b64encode(record.value or b"").decode()} if value is None else {}),
        **({"value_omitted": size} if (size := omitted_size(record)) is not None else {}),
        "unedited": digest(value),
    }


def parsed(value: bytes | None) -> dict[str, Any] | None:
    try:
        read = from_json(value or b"")
    except ValueError:
        return None
    return read if isinstance(read, dict) else None


def digest(value: Any) -> str:
    """The digest of a JSON value, independent of the order of names. It shows whether a line was edited."""
    return hashlib.sha256(to_json(_ordered(value), inf_nan_mode="constants")).hexdigest()[:16]


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _ordered(value[name]) for name in sorted(value)}
    return [_ordered(item) for item in value] if isinstance(value, list) else value
