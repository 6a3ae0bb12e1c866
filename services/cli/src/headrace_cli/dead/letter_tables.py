"""Dead letters in words: rows of tables, and objects for programs."""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from headrace_cli.dead.topic_letters import TopicGroup
from headrace_cli.output import inert, table
from headrace_letters.groups import Group
from headrace_letters.letter import Letter
from headrace_letters.letter_rows import IndexedLetter
from headrace_letters.prediction import OUTCOMES, Outcome, Prediction
from headrace_letters.preview import Preview

LONGEST = 100
"""Characters of an error in a table."""
SAID: Mapping[Outcome, str] = {
    "apply": "would apply",
    "applied_already": "applied already",
    "superseded": "superseded by a newer version",
    "deleted": "deleted by a newer version",
    "recompute": "links, computed again from what is current",
    "undecodable": "cannot be decoded still",
    "ignored": "ignored, as the settings say",
    "expired": "refused: too old, or gone from its topic",
    "foreign": "refused: no worker of this installation",
}


def shown_key(key: bytes | None) -> str:
    """A key as text where it is text, and as 0x… where it is not."""
    if key is None:
        return "none"
    try:
        return key.decode()
    except UnicodeDecodeError:
        return f"0x{key.hex()}"


def letter_object(letter: Letter, found: IndexedLetter | None = None) -> dict[str, Any]:
    """For programs."""
    failed = letter.failed
    return {
        "id": letter.id,
        "status": found.status if found else None,
        "worker": letter.worker,
        "reason": letter.reason,
        "fingerprint": letter.fingerprint,
        "error": letter.error,
        "key": shown_key(letter.key),
        "kind": letter.kind,
        "entity_id": letter.entity_id,
        "version": letter.version,
        "attempts": letter.attempts,
        "first_failed_at": letter.first_failed_at,
        "failed_at": letter.failed_at,
        "topic": failed.topic if failed else None,
        "partition": failed.partition if failed else None,
        "offset": failed.offset if failed else None,
        "dead_topic": letter.at.topic,
        "dead_partition": letter.at.partition,
        "dead_offset": letter.at.offset,
        "origin": letter.origin,
        "size": letter.size,
        "replayed_at": found.replayed_at if found else None,
        "superseded_by": found.superseded_by if found else None,
    }


def letters_table(letters: Sequence[tuple[Letter, str]]) -> Table:
    """Each letter with its status. An id is never cut: it is what other commands take."""
    numbers = ("version", "attempts")
    shown = table("status", "worker", "reason", "key", *numbers, "failed at", "id", "error", right=numbers)
    shown.columns[7].overflow = "fold"
    for letter, status in letters:
        shown.add_row(
            status, inert(letter.worker), inert(letter.reason), cut(shown_key(letter.key), 40),
            str(letter.version or ""), str(letter.attempts), when(letter.failed_at), inert(letter.id),
            cut(letter.error, LONGEST),
        )  # fmt: skip
    return shown


def group_object(group: Group) -> dict[str, Any]:
    """For programs."""
    return {
        "fingerprint": group.fingerprint,
        "worker": group.worker,
        "workers": {group.worker: sum(group.counts.values())},
        "reason": group.reason,
        "count": sum(group.counts.values()),
        "counts": dict(group.counts),
        "first_seen": group.first_seen,
        "last_seen": group.last_seen,
        "sample_id": group.sample_id,
        "sample_error": group.sample_error,
        "series": list(group.series),
    }


def topic_group_object(group: TopicGroup) -> dict[str, Any]:
    """For programs."""
    count = group.workers.total()
    return {
        "fingerprint": group.fingerprint,
        "worker": group.workers.most_common(1)[0][0],
        "workers": dict(group.workers),
        "reason": group.reason,
        "count": count,
        "counts": {"waiting": count},
        "first_seen": group.first.failed_at,
        "last_seen": group.last.failed_at,
        "sample_id": group.last.id,
        "sample_error": group.last.error,
    }


def groups_table(groups: Sequence[Mapping[str, Any]]) -> Table:
    """Of group objects."""
    numbers = ("letters", "waiting")
    shown = table("cause", "worker", "reason", *numbers, "first seen", "last seen", "for example", right=numbers)
    for group in groups:
        shown.add_row(
            inert(group["fingerprint"]), inert(_shares(group)), inert(group["reason"]), f"{group['count']:,}",
            f"{group['counts'].get('waiting', 0):,}", when(group["first_seen"]), when(group["last_seen"]),
            cut(group["sample_error"], LONGEST),
        )  # fmt: skip
    return shown


def _shares(group: Mapping[str, Any]) -> str:
    workers: Mapping[str, int] = group["workers"]
    if len(workers) == 1:
        return next(iter(workers))
    return ", ".join(f"{name} {count / group['count']:.0%}" for name, count in workers.items())


def preview_object(preview: Preview) -> dict[str, Any]:
    """For programs. `superseded_by`: version to how often it stands in the way."""
    return {
        "total": preview.total,
        **{outcome: preview.counts.get(outcome, 0) for outcome in OUTCOMES},
        "superseded_by": {str(version): count for version, count in preview.superseded_by.most_common()},
        "causes": dict(preview.causes.most_common()),
        "samples": {outcome: [prediction_object(one) for one in some] for outcome, some in preview.samples.items()},
    }


def prediction_object(prediction: Prediction) -> dict[str, Any]:
    """For programs."""
    return {
        "id": prediction.letter.id,
        "outcome": prediction.outcome,
        "by": prediction.by,
        "detail": prediction.detail,
        "kind": prediction.kind,
        "entity_id": prediction.entity_id,
        "version": prediction.version,
        "stores": dict(prediction.stores),
    }


def preview_table(preview: Preview) -> Table:
    """One row for each outcome that there is."""
    shown = table("letters", "a replay", "for example", right=("letters",))
    for outcome in OUTCOMES:
        if count := preview.counts.get(outcome, 0):
            shown.add_row(f"{count:,}", SAID[outcome], _examples(outcome, preview))
    return shown


def _examples(outcome: Outcome, preview: Preview) -> Text:
    if outcome == "undecodable":
        causes = preview.causes.most_common(3)
        return cut("; ".join(f"{count:,} × {cause}" for cause, count in causes), 3 * LONGEST)
    return inert(", ".join(_example(one) for one in preview.samples.get(outcome, ())[:2]))


def _example(prediction: Prediction) -> str:
    name = prediction.entity_id if prediction.entity_id is not None else shown_key(prediction.letter.key)
    version = f" version {prediction.version}" if prediction.version is not None else ""
    by = f" by version {prediction.by}" if prediction.by is not None else ""
    return f"{name[:40]}{version}{by}" + (f" ({prediction.detail[:LONGEST]})" if prediction.detail else "")


def raw_object(value: bytes | None) -> str | None:
    """Bytes for programs: base64."""
    return None if value is None else base64.b64encode(value).decode()


def when(moment: datetime) -> str:
    """To the second, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def cut(text: str, longest: int) -> Text:
    """Inert, on one line, and not longer."""
    return inert(text if len(text) <= longest else f"{text[:longest]}…")
