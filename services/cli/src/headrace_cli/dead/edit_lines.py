"""Dead letters as lines of JSON that can be edited."""

import base64
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic_core import from_json, to_json

from headrace_letters.edit_preview import EDITABLE, edit_versions
from headrace_letters.index import LetterIndex
from headrace_letters.installed_stores import InstalledStores
from headrace_letters.letter_reader import LetterReader
from headrace_letters.letter_rows import IndexedLetter
from headrace_letters.selection import Selection
from headrace_letters.twins import record_of
from headrace_runtime.dead_letters import omitted_size
from headrace_runtime.decoder import KafkaRecord
from headrace_worker.stage import Unavailable

NO_ENTITY = "needs a version: the letter names no product and no keyword"
NOT_EDITED = ("embedding",)
"""The worker embed computes it again."""


async def exported(
    index: LetterIndex, reader: LetterReader, stores: InstalledStores, selection: Selection
) -> AsyncIterator[dict[str, Any]]:
    """One object for each record whose letters can be edited: change `value`, and set `new_version` if `edit` says so.

    If the value is not a JSON object, `value` is null. Then `value_text` has its text, to be corrected; a value that is
    no text is in `value_base64`. `value_omitted` is the size of a value that was too large for the dead-letter topic.

    Of several letters of one source record it takes the first that can be read. Raises Unavailable if Kafka or the
    index does not answer.
    """
    chosen = replace(selection, status=tuple(one for one in selection.status or EDITABLE if one in EDITABLE))
    written: set[str] = set()
    async for found in index.walk(chosen):
        found = [one for one in found if record_of(one.letter) not in written]
        records = await reader.records_of([one.letter for one in found])
        versions = await _versions(found, stores)
        for one, record in zip(found, records, strict=True):
            source = record_of(one.letter)
            if record is None or source in written:
                continue
            if source is not None:
                written.add(source)
            yield line_of(one, record, versions.get(one.letter.id, NO_ENTITY))


async def _versions(found: Sequence[IndexedLetter], stores: InstalledStores) -> Mapping[str, object]:
    try:
        return await edit_versions(found, stores)
    except Unavailable as error:
        return {one.letter.id: f"is decided when it is imported: {error}" for one in found}


def line_of(found: IndexedLetter, record: KafkaRecord, edit: object) -> dict[str, Any]:
    """A letter as a line. `unedited` is the digest of the value before the edit. `edit`: which version it would get."""
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
        "version": letter.version,
        "edit": f"an edit {edit}",
        "new_version": None,
        "value": value,
        **({"value_omitted": size} if (size := omitted_size(record)) is not None else {}),
        **_unparsed(record.value, value),
    }


def _unparsed(data: bytes | None, value: dict[str, Any] | None) -> dict[str, Any]:
    """The value as text, or its bytes, if it is not a JSON object; and the digest of what can be edited."""
    if value is not None:
        return {"unedited": digest(value)}
    try:
        text = (data or b"").decode()
    except UnicodeDecodeError:
        text = ""
    if not text:
        return {"value_base64": base64.b64encode(data or b"").decode(), "unedited": digest(None)}
    return {"value_text": text, "unedited": digest(text)}


def parsed(value: bytes | str | None) -> dict[str, Any] | None:
    """The JSON object in it; None if there is none."""
    try:
        read = from_json(value or b"")
    except ValueError:
        return None
    return read if isinstance(read, dict) else None


def edited(line: Mapping[str, Any]) -> dict[str, Any] | str | None:
    """The edited value of a line: an object, or why there is none; None if the line was not edited."""
    value, text = line.get("value"), line.get("value_text")
    if isinstance(value, dict):
        return None if line.get("unedited") == digest(value) else value
    if not isinstance(text, str):
        unedited = line.get("unedited") == digest(value)
        return None if unedited else "`value` is not a JSON object: write the corrected change there"
    if line.get("unedited") == digest(text):
        return None
    return parsed(text) or "`value_text` is not a JSON object: correct it, or write the change into `value`"


def digest(value: Any) -> str:
    """The digest of a JSON value, independent of the order of names. It shows whether a line was edited."""
    return hashlib.sha256(to_json(_ordered(value), inf_nan_mode="constants")).hexdigest()[:16]


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _ordered(value[name]) for name in sorted(value)}
    return [_ordered(item) for item in value] if isinstance(value, list) else value
