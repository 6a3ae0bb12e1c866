"""What a page shows for statuses, outcomes and reasons: the shared words, an icon and a sentence."""

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from headrace_letters import wording
from headrace_letters.prediction import Outcome
from headrace_letters.selection import STATUSES as STATUS_NAMES
from headrace_letters.selection import Status
from headrace_letters.wording import ProgressPart, Wording

Name = TypeVar("Name", bound=str)


class Label(NamedTuple):
    """What a page shows for a status or an outcome. `icon` also names its colour. `about`: one sentence."""

    title: str
    icon: str
    about: str


def _labels(words: Mapping[Name, Wording], icons: Mapping[Name, str]) -> dict[Name, Label]:
    return {name: Label(word.heading, icons[name], word.meaning) for name, word in words.items()}


_STATUS_ICONS: Mapping[Status, str] = {status: status for status in STATUS_NAMES}
_OUTCOME_ICONS: Mapping[Outcome, str] = {
    "apply": "resolved",
    "applied_already": "already",
    "superseded": "superseded",
    "deleted": "deleted",
    "recompute": "replaying",
    "undecodable": "failed",
    "ignored": "parked",
    "expired": "expired",
    "omitted": "expired",
    "foreign": "discarded",
}
_PROGRESS_ICONS: Mapping[ProgressPart, str] = {
    "resolved": "resolved",
    "superseded": "superseded",
    "failed": "failed",
    "unanswered": "replaying",
    "refused": "expired",
    "unsent": "unsent",
}

STATUSES = _labels(wording.STATUSES, _STATUS_ICONS)
OUTCOMES = _labels(wording.OUTCOMES, _OUTCOME_ICONS)
PROGRESS = _labels(wording.PROGRESS, _PROGRESS_ICONS)

_REASONS = {
    "not_json": "Not JSON",
    "invalid": "Not a valid record",
    "key_mismatch": "The key is not the id",
    "null_without_version": "Null without a version",
    "unknown_schema": "Unknown schema",
    "wrong_model": "Embedded by another model",
    "wrong_vector": "Vector with a wrong size or value",
    "refused_by_store": "Refused by the store",
    "too_large": "Too large",
    "poison": "Breaks every batch",
}

ICONS: Mapping[str, str] = {
    "waiting": "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11M8 5v3.2l2.2 1.4",
    "unsent": "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11M8 5v3.2l2.2 1.4",
    "replaying": "M13 6.5A5.2 5.2 0 0 0 3.6 5M3 2.6V5.3h2.7M3 9.5A5.2 5.2 0 0 0 12.4 11M13 13.4v-2.7h-2.7",
    "parked": "M5.5 3.5v9M10.5 3.5v9",
    "resolved": "M3 8.5l3.3 3.3L13 4.8",
    "superseded": "M8 2.5l5.5 3L8 8.5l-5.5-3zM2.5 8.5L8 11.5l5.5-3M2.5 11L8 14l5.5-3",
    "discarded": "M4 4l8 8M12 4l-8 8",
    "already": "M1.8 8.5l3 3L10 5.5M7.6 11.2l.6.6 6-6.8",
    "deleted": "M3 4.5h10M6.5 4.5V3h3v1.5M4.5 4.5l.6 8.5h5.8l.6-8.5",
    "failed": "M8 2.5l6 10.8H2zM8 6.5v3M8 11.3v.2",
    "expired": "M4.5 2.5h7M4.5 13.5h7M5.5 2.5v2L8 8l2.5-3.5v-2M5.5 13.5v-2L8 8l2.5 3.5v2",
    "freshness": "M1.5 8.5h3l2-5 3 9 2-4h3",
    "letters": "M2 4h12v8.5H2zM2 4.5l6 4.5 6-4.5",
    "workers": "M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.1M5 11h.1",
    "search": "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9M10.3 10.3l3.2 3.2",
    "audit": "M4 2.5h8v11H4zM6 5.5h4M6 8h4M6 10.5h2.5",
    "next": "M6 3.5L10.5 8 6 12.5",
    "ready": "M3 8.5l3.3 3.3L13 4.8",
    "unknown": "M6 6a2 2 0 1 1 2.6 1.9c-.5.2-.6.6-.6 1.3M8 11.6v.1",
    "out": "M6.5 3H3v10h3.5M7 8h6.5M11 5.5L13.5 8 11 10.5",
    "download": "M8 2.5v7.5M5 7.2L8 10l3-2.8M3 13h10",
}


def reason_title(reason: str) -> str:
    """A reason of Headrace in words; the reason of another system unchanged."""
    return _REASONS.get(reason, reason or "No reason given")
