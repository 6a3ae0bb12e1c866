"""A letter as a row of the index, and a row as a letter."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg
from pydantic_core import from_json

from headrace_letters.letter import EPOCH, Letter
from headrace_letters.selection import Status
from headrace_runtime.decoder import Position

LETTER_COLUMNS = (
    "origin", "worker", "reason", "fingerprint", "error", "attempts", "failed_at", "key",
    "dead_topic", "dead_partition", "dead_offset", "failed_topic", "failed_partition", "failed_offset",
    "kind", "entity_id", "version", "size", "before_store",
)  # fmt: skip
"""From the newest letter of an id. The id and `first_failed_at` are common to all its letters."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt of a letter. `at`: the position of its dead letter; of the newest, if a crash wrote two."""

    attempt: int
    failed_at: datetime
    reason: str
    fingerprint: str
    error: str
    at: Position


@dataclass(frozen=True, slots=True)
class IndexedLetter:
    """A letter in the index. `failures`: all known attempts, oldest first, including the newest.

    `replayed_at`: the time of the last replay of this attempt. `superseded_by`: the version that replaced it, if known.
    """

    letter: Letter
    status: Status
    replayed_at: datetime | None
    superseded_by: int | None
    failures: tuple[Failure, ...]


def letter_row(letter: Letter) -> tuple[Any, ...]:
    """The values of `dead_id`, `first_failed_at`, LETTER_COLUMNS and the letter's own `status`, in that order."""
    failed = letter.failed or (None, None, None)
    return (
        letter.id, letter.first_failed_at, letter.origin, letter.worker, letter.reason, letter.fingerprint,
        letter.error, letter.attempts, letter.failed_at, letter.key, *letter.at, *failed,
        letter.kind, letter.entity_id, letter.version, letter.size, letter.before_store, letter.status,
    )  # fmt: skip


def without_repeated_ids(letters: Sequence[Letter]) -> Iterator[list[Letter]]:
    """The letters in lists; no list contains an id twice."""
    places: defaultdict[str, int] = defaultdict(int)
    rounds: defaultdict[int, list[Letter]] = defaultdict(list)
    for letter in letters:
        rounds[places[letter.id]].append(letter)
        places[letter.id] += 1
    yield from rounds.values()


def indexed_letter(row: asyncpg.Record) -> IndexedLetter:
    """A row of the table, with `status_now`."""
    failed = Position(row["failed_topic"], row["failed_partition"], row["failed_offset"])
    letter = Letter(
        id=row["dead_id"],
        origin=row["origin"],
        worker=row["worker"],
        reason=row["reason"],
        fingerprint=row["fingerprint"],
        error=row["error"],
        attempts=row["attempts"],
        first_failed_at=row["first_failed_at"],
        failed_at=row["failed_at"],
        key=row["key"],
        at=Position(row["dead_topic"], row["dead_partition"], row["dead_offset"]),
        failed=failed if failed.topic is not None else None,
        kind=row["kind"],
        entity_id=row["entity_id"],
        version=row["version"],
        size=row["size"],
        before_store=row["before_store"],
    )
    this_attempt = row["replayed_attempt"] == letter.attempts
    return IndexedLetter(
        letter,
        row["status_now"],
        row["replayed_at"] if this_attempt else None,
        row["superseded_by"],
        tuple(_failures(letter, from_json(row["failures"]))),
    )


def _failures(letter: Letter, earlier: Mapping[str, Mapping[str, Any]]) -> Iterator[Failure]:
    for attempt, failure in sorted((int(number), failure) for number, failure in earlier.items()):
        if attempt != letter.attempts:
            microseconds, *at = failure["order"]
            failed_at = EPOCH + timedelta(microseconds=microseconds)
            said = (failure["reason"], failure["fingerprint"], failure["error"])
            yield Failure(attempt, failed_at, *said, Position(*at))
    said = (letter.reason, letter.fingerprint, letter.error)
    yield Failure(letter.attempts, letter.failed_at, *said, letter.at)
