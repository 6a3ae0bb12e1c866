"""Dead letters, groups and previews as tables, for people."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from headrace_cli.dead.letter_objects import shown_key
from headrace_cli.output import inert, table
from headrace_letters import wording
from headrace_letters.actions import AuditRow
from headrace_letters.bulk_decisions import Touched
from headrace_letters.letter import Letter
from headrace_letters.prediction import OUTCOMES, Outcome, Prediction
from headrace_letters.preview import Preview

MAX_ERROR = 100
"""Characters of an error in a table."""


def letters_table(letters: Sequence[tuple[Letter, str]]) -> Table:
    """Each letter with its status. An id is never cut, because other commands need it."""
    numbers = ("version", "attempts")
    shown = table("status", "worker", "reason", "key", *numbers, "failed at", "id", "error", right=numbers)
    shown.columns[7].overflow = "fold"
    for letter, status in letters:
        shown.add_row(
            status, inert(letter.worker), inert(letter.reason), cut(shown_key(letter.key), 40),
            str(letter.version or ""), str(letter.attempts), when(letter.failed_at), inert(letter.id),
            cut(letter.error, MAX_ERROR),
        )  # fmt: skip
    return shown


def groups_table(groups: Sequence[Mapping[str, Any]]) -> Table:
    """One row for each group object. A source record has a letter of each worker that rejected it."""
    numbers = ("records", "letters", "waiting")
    shown = table("cause", "workers", "reason", *numbers, "first seen", "last seen", "for example", right=numbers)
    for group in groups:
        shown.add_row(
            inert(group["fingerprint"]), inert(_workers(group)), inert(group["reason"]), f"{group['records']:,}",
            f"{group['count']:,}", f"{group['counts'].get('waiting', 0):,}", when(group["first_seen"]),
            when(group["last_seen"]), cut(group["sample_error"], MAX_ERROR),
        )  # fmt: skip
    return shown


def _workers(group: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in group["workers"].items())


def touched_table(touched: Touched) -> Table:
    """One row for each cause and worker whose letters a decision would change."""
    shown = table("cause", "worker", "reason", "letters", "", right=("letters",))
    about = ((touched.chosen, ""), (touched.twins, "not chosen: of the same source records"))
    for counts, remark in about:
        for cause, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
            shown.add_row(inert(cause.fingerprint), inert(cause.worker), inert(cause.reason), f"{count:,}", remark)
    return shown


def audit_table(rows: Sequence[AuditRow]) -> Table:
    """One row for each action. The number is what `--before` takes."""
    shown = table("number", "at", "by", "action", "letters", "count", "why", "outcome", right=("number", "count"))
    for row in rows:
        chosen = ", ".join(f"{name}={value}" for name, value in row.selection.items()) or "all"
        shown.add_row(
            str(row.number), when(row.at), inert(row.actor), inert(row.name), cut(chosen, MAX_ERROR),
            f"{row.count:,}", cut(row.reason, MAX_ERROR), inert(row.outcome or "not finished"),
        )  # fmt: skip
    return shown


def preview_table(preview: Preview) -> Table:
    """One row for each outcome that occurs."""
    shown = table("letters", "a replay", "for example", right=("letters",))
    for outcome in OUTCOMES:
        if count := preview.counts.get(outcome, 0):
            shown.add_row(f"{count:,}", wording.OUTCOMES[outcome].title, _examples(outcome, preview))
    return shown


def _examples(outcome: Outcome, preview: Preview) -> Text:
    if outcome == "undecodable":
        causes = preview.causes.most_common(3)
        return cut("; ".join(f"{count:,} × {cause}" for cause, count in causes), 3 * MAX_ERROR)
    return inert(", ".join(_example(one) for one in preview.samples.get(outcome, ())[:2]))


def _example(prediction: Prediction) -> str:
    name = prediction.entity_id if prediction.entity_id is not None else shown_key(prediction.letter.key)
    version = f" version {prediction.version}" if prediction.version is not None else ""
    by = f" by version {prediction.by}" if prediction.by is not None else ""
    return f"{name[:40]}{version}{by}" + (f" ({prediction.detail[:MAX_ERROR]})" if prediction.detail else "")


def when(moment: datetime) -> str:
    """To the second, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def cut(text: str, longest: int) -> Text:
    """The first `longest` characters, escaped, on one line."""
    return inert(text if len(text) <= longest else f"{text[:longest]}…")
