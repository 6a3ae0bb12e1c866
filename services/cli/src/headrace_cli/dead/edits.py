"""Edited lines of dead letters as new changes.

An edit is not a replay. With its old version, at one worker only, it would make the stores differ for ever. It is a new
change with its own version, on the source topic, for all workers.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import to_json

from headrace_cli.dead.edit_lines import EDITABLE, digest
from headrace_letters.actions import Action
from headrace_letters.index import LetterIndex
from headrace_letters.installed_stores import InstalledStores
from headrace_letters.letter_rows import IndexedLetter
from headrace_letters.prediction import REPLAYABLE_FOR
from headrace_letters.selection import Selection
from headrace_runtime.publisher import Outgoing, Publisher
from headrace_schemas import headers
from headrace_schemas.changes import CHANGES, ID_FIELDS, Change
from headrace_schemas.fields import MAX_VERSION, Kind
from headrace_worker.settings import CommonSettings


@dataclass(frozen=True, slots=True)
class Edit:
    """An edited line that can be published. `replaces`: the letter that it replaces."""

    replaces: IndexedLetter
    kind: Kind
    id: str
    version: int
    record: Outgoing


class Refused(NamedTuple):
    """A line that cannot be published, and why."""

    dead_id: str
    why: str


class Unchanged(NamedTuple):
    """A line that was not edited."""

    dead_id: str


async def edits(
    lines: Sequence[Mapping[str, Any]],
    index: LetterIndex,
    stores: InstalledStores,
    settings: CommonSettings,
    *,
    version: int | None = None,
) -> list[Edit | Refused | Unchanged]:
    """The result for each line, in the given order; nothing is published yet.

    `version`: the version for lines that set none. By default an edit gets the smallest version above all stored
    versions of its id. If the newest stored version is a delete, the version must be given. Raises Unavailable.
    """
    ids = [str(line.get("dead_id", "")) for line in lines]
    letters = await index.get(ids)
    now = datetime.now(UTC)
    read = [_read(line, id, letters.get(id), now, version) for line, id in zip(lines, ids, strict=True)]
    stored: dict[Kind, dict[str, Mapping[str, Any]]] = {}
    for kind, id_field in ID_FIELDS.items():
        wanted = {str(one.fields[id_field]): None for one in read if isinstance(one, _Line) and one.kind == kind}
        stored[kind] = dict(await stores.everywhere(kind, list(wanted))) if wanted else {}
    found: list[Edit | Refused | Unchanged] = []
    given: dict[tuple[Kind, str], int] = {}
    for one in read:
        if not isinstance(one, _Line):
            found.append(one)
            continue
        edit = _edit(one, stored[one.kind], settings, given)
        if isinstance(edit, Edit):
            given[edit.kind, edit.id] = max(edit.version, given.get((edit.kind, edit.id), 0))
        found.append(edit)
    return found


async def publish_edits(
    chosen: Sequence[Edit], index: LetterIndex, settings: CommonSettings, *, actor: str, reason: str = ""
) -> None:
    """Publishes the edits, then marks their letters as superseded. Raises Unavailable."""
    if not chosen:
        return
    selection = Selection(ids=tuple(edit.replaces.letter.id for edit in chosen))
    number = await index.begin(Action(actor, "import", selection, reason))
    publisher = Publisher(settings.kafka)
    try:
        await publisher.publish([edit.record for edit in chosen])
    finally:
        await publisher.close()
    await asyncio.gather(*(index.mark_superseded(number, one.replaces.letter, one.version) for one in chosen))
    await index.finish(number, len(chosen), f"{len(chosen)} edited changes published")


class _Line(NamedTuple):
    """A line with an edited value. `fields`: a valid change without its final version."""

    letter: IndexedLetter
    kind: Kind
    fields: dict[str, Any]
    version: int | None


def _read(
    line: Mapping[str, Any], dead_id: str, found: IndexedLetter | None, now: datetime, version: int | None
) -> _Line | Refused | Unchanged:
    value = line.get("value")
    if found is None:
        return Refused(dead_id, "there is no dead letter with this id")
    if found.status not in EDITABLE:
        return Refused(dead_id, f"the letter is {found.status}")
    if now - found.letter.first_failed_at > REPLAYABLE_FOR:
        return Refused(dead_id, f"it first failed at {found.letter.first_failed_at:%Y-%m-%d %H:%M} UTC: too long ago")
    if line.get("unedited") == digest(value):
        return Unchanged(dead_id)
    if not isinstance(value, dict):
        return Refused(dead_id, "`value` is not a JSON object: write the corrected change there")
    kinds = sorted(ID_FIELDS, key=lambda kind: kind != found.letter.kind)
    kind = next((kind for kind in kinds if ID_FIELDS[kind] in value), None)
    if kind is None:
        return Refused(dead_id, "`value` has neither product_id nor keyword_id")
    wanted = line.get("new_version", version)
    wanted = version if wanted is None else wanted
    if wanted is not None and (type(wanted) is not int or not 1 <= wanted <= MAX_VERSION):
        return Refused(dead_id, "`new_version` is not an integer from 1 to 2^63-1")
    fields = {"op": "upsert"} | value | {"occurred_at": now.isoformat()}
    try:
        CHANGES[kind].model_validate_json(to_json(fields | {"version": 1}))
    except (ValidationError, ValueError) as error:
        return Refused(dead_id, f"`value` is not a valid change: {_problem(error)}")
    return _Line(found, kind, fields, wanted)


def _edit(
    line: _Line,
    stored: Mapping[str, Mapping[str, Any]],
    settings: CommonSettings,
    given: Mapping[tuple[Kind, str], int],
) -> Edit | Refused:
    id = str(line.fields[ID_FIELDS[line.kind]])
    there = [entities[id] for entities in stored.values() if id in entities]
    above = max([given.get((line.kind, id), 0), *(one.version for one in there)])
    version = line.version
    if version is None:
        if any(one.deleted for one in there if one.version == above):
            why = f"{id!r} is deleted by version {above}: give a higher version to create it again"
            return Refused(line.letter.letter.id, why)
        version = above + 1
    if not above < version <= MAX_VERSION:
        return Refused(line.letter.letter.id, f"version {version} is not above {above}, which is stored")
    record: type[Change] = CHANGES[line.kind]
    change = record.model_validate_json(to_json(line.fields | {"version": version}))
    named = [
        headers.schema_pair(record),
        (headers.EDITED_FROM, line.letter.letter.id.encode()),
    ]
    value = change.model_dump_json(exclude_none=True).encode()
    return Edit(
        line.letter, line.kind, id, version, Outgoing(settings.topics.source(line.kind), id.encode(), value, named)
    )


def _problem(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        return f"{'.'.join(map(str, first['loc'])) or 'the record'}: {first['msg']}"
    return "it contains a value that JSON cannot express"
