"""What states and outcomes are called on a page, in which order, and with which picture beside the word."""

from collections.abc import Mapping
from typing import NamedTuple

from headrace_letters.prediction import Outcome
from headrace_letters.selection import Status


class Word(NamedTuple):
    """`icon` also names its colour. `about`: one sentence for who meets the word first."""

    title: str
    icon: str
    about: str


STATUSES: Mapping[Status, Word] = {
    "waiting": Word("Waiting", "waiting", "Nobody has decided yet, or a replay was not answered in time."),
    "replaying": Word("Replaying", "replaying", "Sent to its worker again; the answer is on its way."),
    "parked": Word("Parked", "parked", "Set aside by an operator, or after five failures."),
    "resolved": Word("Resolved", "resolved", "A replay was applied."),
    "superseded": Word("Superseded", "superseded", "A newer version is stored; the letter has nothing to add."),
    "discarded": Word("Discarded", "discarded", "Given up by an operator, for a reason that the audit log has."),
}

OUTCOMES: Mapping[Outcome, Word] = {
    "apply": Word("Would be applied", "resolved", "Newer than what is stored."),
    "recompute": Word(
        "Would be computed again", "replaying", "Links are asked for anew and follow from what is current."
    ),
    "applied_already": Word("Applied already", "already", "This very version is stored."),
    "superseded": Word("Superseded", "superseded", "A newer version is stored and stays."),
    "deleted": Word("Deleted since", "deleted", "A newer delete is stored and stays."),
    "undecodable": Word("Would fail again", "failed", "The worker still cannot read it."),
    "ignored": Word("Would be ignored", "parked", "The worker's settings say to skip it."),
    "expired": Word(
        "Too old to replay", "expired", "More than 14 days after its first failure, or gone from its topic."
    ),
    "foreign": Word("Not Headrace's to replay", "discarded", "Sent again by what wrote it, not from here."),
}

_REASONS = {
    "not_json": "Not JSON",
    "invalid": "Not a valid record",
    "key_mismatch": "The key is not the id",
    "null_without_version": "A null without a version",
    "unknown_schema": "Of an unknown schema",
    "wrong_model": "Embedded by another model",
    "wrong_vector": "A vector that does not fit",
    "refused_by_store": "Refused by the store",
    "too_large": "Too large",
    "poison": "Breaks every batch it is in",
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
    """A reason of ours in words; that of another system as it stands."""
    return _REASONS.get(reason, reason or "For no reason given")
