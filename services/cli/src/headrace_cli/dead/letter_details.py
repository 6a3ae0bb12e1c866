"""Everything known about one dead letter: its record, the failures, what the stores contain, and the actions on it."""

from collections.abc import Sequence
from typing import Any

from headrace_cli.dead.edit_lines import parsed
from headrace_cli.dead.letter_objects import letter_object, prediction_object, raw_object
from headrace_cli.dead.topic_letters import letters_on
from headrace_cli.errors import NOT_DONE, CommandError
from headrace_letters.edit_preview import edit_versions
from headrace_letters.index import open_index
from headrace_letters.index_settings import IndexSettings
from headrace_letters.installed_stores import InstalledStores, open_installed_stores
from headrace_letters.letter import Letter
from headrace_letters.letter_reader import open_letter_reader
from headrace_letters.letter_rows import IndexedLetter
from headrace_letters.prediction import predict
from headrace_letters.selection import Selection
from headrace_runtime.dead_letters import omitted_size
from headrace_schemas.fields import Kind
from headrace_worker.stage import Unavailable


async def letter_details(settings: IndexSettings, dead_id: str, topics: Sequence[str]) -> dict[str, Any]:
    """The letter as a JSON object. Raises CommandError if there is no letter with this id."""
    async with open_installed_stores() as stores:
        if topics:
            async for letter, record in letters_on(settings, topics, Selection(ids=(dead_id,))):
                return await _whole(letter, None, record, stores) | {"actions": []}
            raise CommandError(f"these topics have no letter {dead_id[:200]!r}", NOT_DONE)
        async with open_index(settings) as index, open_letter_reader(settings.kafka) as reader:
            found = (await index.get([dead_id])).get(dead_id)
            if found is None:
                raise CommandError(f"there is no dead letter {dead_id[:200]!r}: see `headrace dead ls`", NOT_DONE)
            (record,) = await reader.records_of([found.letter])
            whole = await _whole(found.letter, found, record, stores)
            return whole | {"actions": [_action(row) for row in await index.actions_on(dead_id)]}


async def _whole(letter: Letter, found: IndexedLetter | None, record: Any, stores: InstalledStores) -> dict[str, Any]:
    value = record.value if record is not None else None
    headers = [(name, bytes(text or b"")) for name, text in record.headers] if record is not None else []
    try:
        (prediction,) = await predict([(letter, record)], stores)
        ahead: dict[str, Any] = prediction_object(prediction)
    except Unavailable as error:
        ahead = {"unavailable": str(error)}
    edit: object = None
    try:
        edit = (await edit_versions([found], stores)).get(letter.id) if found else None
    except Unavailable as error:
        edit = f"cannot be decided: {error}"
    return {
        **letter_object(letter, found),
        "key_base64": raw_object(letter.key),
        "gone": record is None,
        "value": parsed(value),
        "value_base64": raw_object(value),
        "value_omitted": omitted_size(record) if record is not None else None,
        "headers": [
            {"name": name, "text": text.decode(errors="replace"), "base64": raw_object(text)} for name, text in headers
        ],
        "stores": await _stores(letter, stores),
        "preview": ahead,
        "edit": None if edit is None else f"an edit {edit}",
        "failures": [
            {"attempt": one.attempt, "failed_at": one.failed_at, "reason": one.reason, "error": one.error}
            for one in (found.failures if found else ())
        ],
    }


async def _stores(letter: Letter, stores: InstalledStores) -> dict[str, Any]:
    """What each store contains for the letter's entity, or why it does not answer."""
    if letter.entity_id is None:
        return {}
    stored: dict[str, Any] = {}
    if letter.kind in ("product", "keyword"):
        kind: Kind = "product" if letter.kind == "product" else "keyword"
        for name in stores.entity_stores:
            try:
                entity = (await stores.entities(name, kind, [letter.entity_id])).get(letter.entity_id)
            except Unavailable as error:
                stored[name] = {"unavailable": str(error)}
                continue
            stored[name] = entity and {"version": entity.version, "deleted": entity.deleted, "fields": entity.fields}
        return stored
    for name in stores.link_stores:
        try:
            links = (await stores.link_sets(name, [letter.entity_id])).get(letter.entity_id)
        except Unavailable as error:
            stored[name] = {"unavailable": str(error)}
            continue
        stored[name] = links and {
            "version": links.version,
            "deleted": links.deleted,
            "fields": {"links": len(links.links)},
        }
    return stored


def _action(row: Any) -> dict[str, Any]:
    return {
        "number": row.number, "at": row.at, "actor": row.actor, "name": row.name, "reason": row.reason,
        "outcome": row.outcome,
    }  # fmt: skip
