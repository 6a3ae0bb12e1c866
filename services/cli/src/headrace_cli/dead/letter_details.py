"""One dead letter, as whole as it can be shown: what it holds, why it failed, what each store holds, its history."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from headrace_cli.dead.edit_lines import parsed
from headrace_cli.dead.letter_tables import SAID, cut, letter_object, prediction_object, raw_object, when
from headrace_cli.dead.tools import opened_index
from headrace_cli.dead.topic_letters import letters_on
from headrace_cli.errors import NOT_DONE, CommandError
from headrace_cli.output import inert, table
from headrace_letters.index_settings import IndexSettings
from headrace_letters.installed_stores import InstalledStores, open_installed_stores
from headrace_letters.letter import Letter
from headrace_letters.letter_reader import open_letter_reader
from headrace_letters.letter_rows import IndexedLetter
from headrace_letters.prediction import Outcome, predict
from headrace_letters.selection import Selection
from headrace_schemas.fields import Kind
from headrace_worker.stage import Unavailable

BYTES_SHOWN = 512
FIELDS_SHOWN = 160
"""Characters of what a store holds; --json has all of it."""
VALUE_SHOWN = 6000
"""Characters of a payload on a terminal; --json has all of it."""


async def letter_shown(settings: IndexSettings, dead_id: str, topics: Sequence[str]) -> dict[str, Any]:
    """All that is known of a letter, for programs. Raises CommandError if there is none of that id."""
    async with open_installed_stores() as stores:
        if topics:
            async for letter, record in letters_on(settings, topics, Selection(ids=(dead_id,))):
                return await _whole(letter, None, record, stores) | {"actions": []}
            raise CommandError(f"no letter of these topics has the id {dead_id[:200]!r}", NOT_DONE)
        async with opened_index(settings) as index, open_letter_reader(settings.kafka) as reader:
            found = (await index.get([dead_id])).get(dead_id)
            if found is None:
                raise CommandError(f"there is no dead letter {dead_id[:200]!r}: see `headrace dead ls`", NOT_DONE)
            (record,) = [record async for _, record in reader.read([found.letter.at])]
            whole = await _whole(found.letter, found, record, stores)
            return whole | {"actions": [_action(row) for row in await index.actions_on(dead_id)]}


async def _whole(letter: Letter, found: IndexedLetter | None, record: Any, stores: InstalledStores) -> dict[str, Any]:
    value = record.value if record is not None else None
    stored = [(name, bytes(text or b"")) for name, text in record.headers] if record is not None else []
    try:
        (prediction,) = await predict([(letter, record)], stores)
        ahead: dict[str, Any] = prediction_object(prediction)
    except Unavailable as error:
        ahead = {"unavailable": str(error)}
    return {
        **letter_object(letter, found),
        "key_base64": raw_object(letter.key),
        "gone": record is None,
        "value": parsed(value),
        "value_base64": raw_object(value),
        "headers": [
            {"name": name, "text": text.decode(errors="replace"), "base64": raw_object(text)} for name, text in stored
        ],
        "stores": await _stores(letter, stores),
        "preview": ahead,
        "failures": [
            {"attempt": one.attempt, "failed_at": one.failed_at, "reason": one.reason, "error": one.error}
            for one in (found.failures if found else ())
        ],
    }


async def _stores(letter: Letter, stores: InstalledStores) -> dict[str, Any]:
    """What each store holds of the letter's entity; one that does not answer says so."""
    if letter.entity_id is None:
        return {}
    held: dict[str, Any] = {}
    if letter.kind in ("product", "keyword"):
        kind: Kind = "product" if letter.kind == "product" else "keyword"
        for name in stores.entity_stores:
            try:
                entity = (await stores.entities(name, kind, [letter.entity_id])).get(letter.entity_id)
            except Unavailable as error:
                held[name] = {"unavailable": str(error)}
                continue
            held[name] = entity and {"version": entity.version, "deleted": entity.deleted, "fields": entity.fields}
        return held
    for name in stores.link_stores:
        try:
            links = (await stores.link_sets(name, [letter.entity_id])).get(letter.entity_id)
        except Unavailable as error:
            held[name] = {"unavailable": str(error)}
            continue
        held[name] = links and {
            "version": links.version,
            "deleted": links.deleted,
            "fields": {"links": len(links.links)},
        }
    return held


def _action(row: Any) -> dict[str, Any]:
    return {
        "number": row.number, "at": row.at, "actor": row.actor, "name": row.name, "reason": row.reason,
        "outcome": row.outcome,
    }  # fmt: skip


def print_letter(console: Console, shown: Mapping[str, Any]) -> None:
    """For people. Nothing of it can command the terminal."""
    console.print(_facts(shown))
    console.print(Text("what it holds", "bold"))
    console.print(_payload(shown), soft_wrap=True)
    console.print(_headers(shown["headers"]))
    console.print(_held(shown["stores"]))
    console.print(_ahead(shown["preview"]), soft_wrap=True)
    if shown["failures"]:
        console.print(_history(shown["failures"]))
    if shown["actions"]:
        console.print(_actions(shown["actions"]))


def _facts(shown: Mapping[str, Any]) -> Table:
    facts = table("", "")
    facts.show_header = False
    failed = f"{shown['topic']}-{shown['partition']}-{shown['offset']}" if shown["topic"] else ""
    at = f"{shown['dead_topic']}-{shown['dead_partition']}-{shown['dead_offset']}"
    for name, text in (
        ("letter", shown["id"]), ("status", shown["status"] or ""), ("worker", shown["worker"]),
        ("reason", shown["reason"]), ("cause", shown["fingerprint"]), ("error", shown["error"]),
        ("key", shown["key"]), ("entity", f"{shown['kind'] or ''} {shown['entity_id'] or ''}".strip()),
        ("version", str(shown["version"] or "")), ("attempts", str(shown["attempts"])),
        ("failed first", when(shown["first_failed_at"])), ("failed last", when(shown["failed_at"])),
        ("record", failed), ("lies at", at),
    ):  # fmt: skip
        if text:
            facts.add_row(Text(name, "dim"), inert(text))
    return facts


def _payload(shown: Mapping[str, Any]) -> Text:
    if shown["gone"]:
        return Text("its record is gone from the topic", "dim")
    if shown["value_base64"] is None:
        return Text("a null value", "dim")
    if shown["value"] is not None:
        lines = json.dumps(shown["value"], ensure_ascii=False, indent=2)[:VALUE_SHOWN].split("\n")
        return Text("\n").join(inert(line) for line in lines)
    data = base64.b64decode(shown["value_base64"])
    return Text("\n").join(
        [*map(inert, hex_lines(data[:BYTES_SHOWN])), Text(f"{len(data):,} bytes; --json has them all", "dim")]
    )


def hex_lines(data: bytes) -> list[str]:
    """Offset, bytes and ASCII, sixteen to a line."""
    rows = ((start, data[start : start + 16]) for start in range(0, len(data), 16))
    return [
        f"{start:06x}  {row.hex(' '):<47}  {''.join(chr(byte) if 32 <= byte < 127 else '.' for byte in row)}"
        for start, row in rows
    ]


def _headers(headers: Sequence[Mapping[str, Any]]) -> Table:
    shown = table("header", "value")
    for header in headers:
        shown.add_row(inert(header["name"]), inert(header["text"][:BYTES_SHOWN]))
    return shown


def _held(stores: Mapping[str, Any]) -> Table:
    shown = table("store", "holds", "fields")
    for name, held in stores.items():
        if held is None:
            shown.add_row(name, "nothing", "")
        elif "unavailable" in held:
            shown.add_row(name, inert(held["unavailable"]), "")
        else:
            state = "deleted by version" if held["deleted"] else "version"
            fields = json.dumps(held["fields"], ensure_ascii=False, default=str)
            shown.add_row(name, f"{state} {held['version']}", cut(fields, FIELDS_SHOWN))
    return shown


def _ahead(ahead: Mapping[str, Any]) -> Text:
    if "unavailable" in ahead:
        return inert(f"what a replay would do cannot be said: {ahead['unavailable']}")
    outcome: Outcome = ahead["outcome"]
    by = f" ({ahead['by']})" if ahead["by"] is not None else ""
    detail = f": {ahead['detail']}" if ahead["detail"] else ""
    return inert(f"a replay now: {SAID[outcome]}{by}{detail}", "bold")


def _history(failures: Sequence[Mapping[str, Any]]) -> Table:
    shown = table("attempt", "failed at", "reason", "error", right=("attempt",))
    for failure in failures:
        cells = when(failure["failed_at"]), inert(failure["reason"]), inert(failure["error"][:BYTES_SHOWN])
        shown.add_row(str(failure["attempt"]), *cells)
    return shown


def _actions(actions: Sequence[Mapping[str, Any]]) -> Table:
    shown = table("action", "at", "by", "why", "outcome")
    for row in actions:
        cells = (inert(row["actor"]), inert(row["reason"]), inert(row["outcome"] or "not finished"))
        shown.add_row(inert(row["name"]), when(row["at"]), *cells)
    return shown
