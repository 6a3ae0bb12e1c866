"""Edited lines of dead letters as new changes.

An edit is not a replay: it is a new change, on the source topic, for all workers. It takes the version of the change
that failed, so that it is neither older nor newer than that change (`headrace_letters.edit_version`).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from aiokafka.errors import KafkaError
from pydantic import ValidationError
from pydantic_core import to_json

from headrace_cli.dead.edit_lines import edited
from headrace_cli.dead.original_answers import unanswered
from headrace_letters.actions import Action
from headrace_letters.edit_preview import EDITABLE, OF_LINKS, is_of_links
from headrace_letters.edit_version import edit_version
from headrace_letters.index import LetterIndex
from headrace_letters.installed_stores import InstalledStores
from headrace_letters.letter_reader import open_letter_reader
from headrace_letters.letter_rows import IndexedLetter
from headrace_letters.prediction import REPLAYABLE_FOR
from headrace_letters.selection import Selection
from headrace_letters.twins import record_of
from headrace_runtime.publisher import Outgoing, Publisher
from headrace_runtime.sent_spans import open_sent_spans
from headrace_schemas import headers
from headrace_schemas.changes import CHANGES, ID_FIELDS, Change
from headrace_schemas.fields import MAX_VERSION, Kind
from headrace_worker.settings import CommonSettings
from headrace_worker.stage import Unavailable

ANSWER_WITHIN = 30.0
"""Seconds to wait for workers that have not answered for the letters' records."""
EDITED_BEFORE = "an earlier line is an edit of the same record"
Taken = dict[tuple[Kind, str], int]
"""By entity: the highest version of its edits so far."""


@dataclass(frozen=True, slots=True)
class Edit:
    """An edited line that can be published. `replaces`: the letter that it replaces. `note`: what follows from its
    version, or "".
    """

    replaces: IndexedLetter
    kind: Kind
    id: str
    version: int
    record: Outgoing
    note: str = ""


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
    taken: Taken | None = None,
    answer_within: float = ANSWER_WITHIN,
) -> list[Edit | Refused | Unchanged]:
    """The result for each line, in the given order; nothing is published yet.

    `version`: the operator's version, for lines that need one and set none. `taken`: the versions of earlier edits;
    this call adds to it. It waits up to `answer_within` seconds until every worker has answered for the letters'
    records, and refuses a line if a worker has not. Raises Unavailable.
    """
    # PostgreSQL takes no null character.
    ids = [str(line.get("dead_id", "")).replace("\0", "") for line in lines]
    letters = await index.get(ids)
    now = datetime.now(UTC)
    read = [_read(line, id, letters.get(id), now) for line, id in zip(lines, ids, strict=True)]
    edited = [one for one in read if isinstance(one, _Line)]
    try:
        waiting = await unanswered(settings, stores, [(one.kind, one.letter) for one in edited], answer_within)
    except (KafkaError, OSError) as error:
        raise Unavailable("kafka", f"the workers' offsets cannot be read: {type(error).__name__}") from error
    stored: dict[Kind, dict[str, Mapping[str, Any]]] = {}
    for kind in ID_FIELDS:
        wanted = {one.id: None for one in edited if one.kind == kind}
        stored[kind] = dict(await stores.everywhere(kind, list(wanted))) if wanted else {}
    taken = {} if taken is None else taken
    records: set[str] = set()
    found: list[Edit | Refused | Unchanged] = []
    for one in read:
        if not isinstance(one, _Line):
            found.append(one)
            continue
        letter = one.letter.letter
        record = record_of(letter) or letter.id
        why = waiting.why(one.kind, one.letter) or (EDITED_BEFORE if record in records else None)
        result = Refused(letter.id, why) if why else _edit(one, stored, settings, version, taken)
        if isinstance(result, Edit):
            records.add(record)
        found.append(result)
    return found


async def publish_edits(
    chosen: Sequence[Edit], index: LetterIndex, settings: CommonSettings, *, actor: str, reason: str = ""
) -> None:
    """Publishes the edits in the traces of their letters, then marks the letters as superseded. Raises Unavailable."""
    if not chosen:
        return
    selection = Selection(ids=tuple(edit.replaces.letter.id for edit in chosen))
    number = await index.begin(Action(actor, "import", selection, reason))
    async with open_letter_reader(settings.kafka) as reader:
        letters = [record async for _, record in reader.read([edit.replaces.letter.at for edit in chosen])]
    publisher = Publisher(settings.kafka)
    try:
        async with open_sent_spans("edit", "edit", settings.telemetry) as spans:
            traced = [
                spans.continued(edit.record, letter.headers if letter is not None else ())
                for edit, letter in zip(chosen, letters, strict=True)
            ]
            await publisher.publish([record for record, _ in traced])
            for _, sent in traced:
                spans.end(sent)
    finally:
        await publisher.close()
    await asyncio.gather(*(index.mark_superseded(number, one.replaces.letter, one.version) for one in chosen))
    await index.finish(number, len(chosen), f"{len(chosen)} edited changes published")


class _Line(NamedTuple):
    """A line with an edited value. `fields`: a valid change without its final version. `version`: the line's own."""

    letter: IndexedLetter
    kind: Kind
    fields: dict[str, Any]
    version: int | None

    @property
    def id(self) -> str:
        return str(self.fields[ID_FIELDS[self.kind]])


def _read(
    line: Mapping[str, Any], dead_id: str, found: IndexedLetter | None, now: datetime
) -> _Line | Refused | Unchanged:
    value = edited(line)
    if found is None:
        return Refused(dead_id, "there is no dead letter with this id")
    if found.status not in EDITABLE:
        return Refused(dead_id, f"the letter is {found.status}")
    if is_of_links(found.letter):
        return Refused(dead_id, OF_LINKS.why)
    if now - found.letter.first_failed_at > REPLAYABLE_FOR:
        return Refused(dead_id, f"it first failed at {found.letter.first_failed_at:%Y-%m-%d %H:%M} UTC: too long ago")
    if value is None:
        return Unchanged(dead_id)
    if isinstance(value, str):
        return Refused(dead_id, value)
    kinds = sorted(ID_FIELDS, key=lambda kind: kind != found.letter.kind)
    kind = next((kind for kind in kinds if ID_FIELDS[kind] in value), None)
    if kind is None:
        return Refused(dead_id, "`value` has neither product_id nor keyword_id")
    wanted = line.get("new_version")
    if wanted is not None and not _is_version(wanted):
        return Refused(dead_id, "`new_version` is not an integer from 1 to 2^63-1")
    if wanted is None and _is_version(value.get("version")) and value["version"] != found.letter.version:
        wanted = value["version"]
    fields = {"op": "upsert"} | value | {"occurred_at": now.isoformat()}
    try:
        CHANGES[kind].model_validate_json(to_json(fields | {"version": 1}))
    except (ValidationError, ValueError) as error:
        return Refused(dead_id, f"`value` is not a valid change: {_problem(error)}")
    return _Line(found, kind, fields, wanted)


def _edit(
    line: _Line,
    stored: Mapping[Kind, Mapping[str, Mapping[str, Any]]],
    settings: CommonSettings,
    version: int | None,
    taken: Taken,
) -> Edit | Refused:
    letter, entity = line.letter.letter, (line.kind, line.id)
    there = {name: entities[line.id] for name, entities in stored[line.kind].items() if line.id in entities}
    decided = edit_version(letter.version, there, given=line.version, taken=taken.get(entity, 0))
    if decided.outcome == "needs" and version is not None:
        decided = edit_version(letter.version, there, given=version, taken=taken.get(entity, 0))
    if decided.version is None:
        return Refused(letter.id, decided.why)
    taken[entity] = decided.version
    record: type[Change] = CHANGES[line.kind]
    change = record.model_validate_json(to_json(line.fields | {"version": decided.version}))
    named = [headers.schema_pair(record), (headers.EDITED_FROM, letter.id.encode())]
    value = change.model_dump_json(exclude_none=True).encode()
    sent = Outgoing(settings.topics.source(line.kind), line.id.encode(), value, named)
    return Edit(line.letter, line.kind, line.id, decided.version, sent, decided.why)


def _is_version(value: object) -> bool:
    return type(value) is int and 1 <= value <= MAX_VERSION


def _problem(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        return f"{'.'.join(map(str, first['loc'])) or 'the record'}: {first['msg']}"
    return "it contains a value that JSON cannot express"
