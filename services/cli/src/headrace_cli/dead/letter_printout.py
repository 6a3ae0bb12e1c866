"""One dead letter on a terminal, for people."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from headrace_cli.dead.letter_tables import cut, when
from headrace_cli.output import inert, table
from headrace_letters import wording
from headrace_letters.prediction import Outcome

BYTES_SHOWN = 512
FIELDS_SHOWN = 160
"""Characters of an entity's fields; --json has all of them."""
VALUE_SHOWN = 6000
"""Characters of a payload; --json has all of them."""


def print_letter(console: Console, shown: Mapping[str, Any]) -> None:
    """Prints what `letter_details` returned, escaped, so that a letter cannot control the terminal."""
    console.print(_facts(shown))
    console.print(Text("payload", "bold"))
    console.print(_payload(shown), soft_wrap=True)
    console.print(_headers(shown["headers"]))
    console.print(_stored(shown["stores"]))
    console.print(_prediction(shown["preview"]), soft_wrap=True)
    if shown["edit"]:
        console.print(inert(shown["edit"]), soft_wrap=True)
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
        ("first failed", when(shown["first_failed_at"])), ("last failed", when(shown["failed_at"])),
        ("record", failed), ("position", at),
    ):  # fmt: skip
        if text:
            facts.add_row(Text(name, "dim"), inert(text))
    return facts


def _payload(shown: Mapping[str, Any]) -> Text:
    if shown["gone"]:
        return Text("the topic no longer has its record", "dim")
    if shown["value_omitted"] is not None:
        return Text(f"not here: its {shown['value_omitted']:,} bytes were too large for the dead-letter topic", "dim")
    if shown["value_base64"] is None:
        return Text("a null value", "dim")
    if shown["value"] is not None:
        lines = json.dumps(shown["value"], ensure_ascii=False, indent=2)[:VALUE_SHOWN].split("\n")
        return Text("\n").join(inert(line) for line in lines)
    data = base64.b64decode(shown["value_base64"])
    return Text("\n").join(
        [*map(inert, hex_lines(data[:BYTES_SHOWN])), Text(f"{len(data):,} bytes; see --json for all of them", "dim")]
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


def _stored(stores: Mapping[str, Any]) -> Table:
    shown = table("store", "contains", "fields")
    for name, stored in stores.items():
        if stored is None:
            shown.add_row(name, "nothing", "")
        elif "unavailable" in stored:
            shown.add_row(name, inert(stored["unavailable"]), "")
        else:
            state = "deleted by version" if stored["deleted"] else "version"
            fields = json.dumps(stored["fields"], ensure_ascii=False, default=str)
            shown.add_row(name, f"{state} {stored['version']}", cut(fields, FIELDS_SHOWN))
    return shown


def _prediction(found: Mapping[str, Any]) -> Text:
    if "unavailable" in found:
        return inert(f"the outcome of a replay is unknown: {found['unavailable']}")
    outcome: Outcome = found["outcome"]
    by = f" ({found['by']})" if found["by"] is not None else ""
    detail = f": {found['detail']}" if found["detail"] else ""
    return inert(f"a replay now: {wording.OUTCOMES[outcome].title}{by}{detail}", "bold")


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
