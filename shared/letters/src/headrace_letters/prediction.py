"""What a replay of a dead letter would do, from the versions that are stored now.

Nothing is written. If nothing changes in between, a replay has the predicted outcome, because the stores' fences
compare the same versions. A prediction cannot know whether a store that refused a record refuses it again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple, get_args

from headrace_letters.installed_stores import InstalledStores, StoredVersion
from headrace_letters.letter import Letter
from headrace_letters.replay_order import Entity, entity_of
from headrace_letters.replay_record import decoded, new_request
from headrace_runtime.dead_letters import omitted_size
from headrace_runtime.decoder import Ignored, KafkaRecord, Undecoded
from headrace_schemas.digest import differ, digest_of
from headrace_schemas.fields import RecordKind
from headrace_worker.stage import Record

Outcome = Literal[
    "apply",
    "applied_already",
    "superseded",
    "deleted",
    "recompute",
    "undecodable",
    "ignored",
    "expired",
    "foreign",
    "omitted",
]
"""apply: newer than the stored version. applied_already: this version is stored. superseded, deleted: a newer version
is stored, or other content under this version. recompute: the links are requested again and computed from current data.
undecodable: the worker would reject it again. ignored: the worker's settings say so. expired: too old, or gone from its
topic. foreign: not written by an installed worker. omitted: its value was too large for the dead-letter topic and
cannot be read from the original record. Expired, foreign and omitted letters are not replayed.
"""
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
DECIDED: tuple[Outcome, ...] = ("apply", "applied_already", "superseded", "deleted")
"""The outcomes that a store decides. If stores differ, the first of these outcomes counts for all."""
REPLAYABLE_FOR = timedelta(days=14)
"""After the first failure. Tombstones are kept longer, so that a replay cannot bring back a deleted entity."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a replay of one letter would do. `by`: the version that supersedes or deleted it. `stores`: the outcome in
    each store that decides. `detail`: an explanation, or ""; it may contain text of the record.
    """

    letter: Letter
    outcome: Outcome
    by: int | None = None
    detail: str = ""
    kind: RecordKind | None = None
    entity_id: str | None = None
    version: int | None = None
    stores: Mapping[str, Outcome] = field(default_factory=dict)


class _Version(NamedTuple):
    """What an earlier replay of the same preview would write."""

    version: int
    deleted: bool
    digest: str | None


Place = tuple[str, RecordKind, str]
"""A store, a kind and an id."""
Written = dict[Place, _Version]


async def predict(
    letters: Sequence[tuple[Letter, KafkaRecord | None]],
    stores: InstalledStores,
    written: Written | None = None,
    repeated: Mapping[Entity, int] | None = None,
) -> list[Prediction]:
    """A prediction for each letter with its record, as if they were replayed in the given order.

    `written`: what earlier letters would write; this call adds to it, for the entities in `repeated`, or for all if it
    is None. Raises Unavailable.
    """
    now = datetime.now(UTC)
    written = {} if written is None else written
    read = [_read(letter, record, stores, now) for letter, record in letters]
    stored = await _stored([one for one in read if isinstance(one, _Undecided)], stores)
    predictions = []
    for one in read:
        if isinstance(one, Prediction):
            predictions.append(one)
            continue
        prediction = _compared(one, stored, written)
        predictions.append(prediction)
        if repeated is None or entity_of(one.letter) in repeated:
            for store, outcome in prediction.stores.items():
                if outcome == "apply":
                    written[store, one.change.kind, one.change.id] = _Version(
                        one.change.version, _deletes(one.change), digest_of(one.change)
                    )
    return predictions


def refusal(letter: Letter, record: KafkaRecord | None, stores: InstalledStores, now: datetime) -> Prediction | None:
    """Why a letter cannot be replayed; None if it can."""
    if letter.origin != "headrace":
        return Prediction(letter, "foreign", detail="the system that wrote it must send it again")
    try:
        stores.target(letter.worker)
    except LookupError:
        return Prediction(letter, "foreign", detail=f"the worker {letter.worker} is not installed here")
    if now - letter.first_failed_at > REPLAYABLE_FOR:
        return Prediction(letter, "expired", detail=f"it first failed at {letter.first_failed_at:%Y-%m-%d %H:%M} UTC")
    if record is None:
        return Prediction(letter, "expired", detail=f"{letter.at.topic} no longer has its record")
    if (size := omitted_size(record)) is not None:
        place = "-".join(map(str, letter.failed)) if letter.failed else "an unknown place"
        return Prediction(
            letter,
            "omitted",
            detail=f"its value of {size} bytes is at {place}: a replay reads it there, if "
            "HEADRACE_KAFKA__MAX_RECORD_BYTES allows that size and the record is still there",
        )
    return None


class _Undecided(NamedTuple):
    """A letter's change, and the workers whose stores decide its outcome."""

    letter: Letter
    change: Record
    stores: Sequence[str]


def _read(
    letter: Letter, record: KafkaRecord | None, stores: InstalledStores, now: datetime
) -> Prediction | _Undecided:
    not_replayed = refusal(letter, record, stores, now)
    if not_replayed is not None:
        return not_replayed
    assert record is not None
    target = stores.target(letter.worker)
    request = new_request(letter, record, target)
    if request is not None:
        return Prediction(letter, "recompute", kind=request.kind, entity_id=request.id)
    read = decoded(letter, record, target)
    if isinstance(read, Ignored):
        return Prediction(letter, "ignored", kind=read.kind)
    if isinstance(read, Undecoded):
        why = f"{read.rejection.reason}: {read.rejection.detail}"
        return Prediction(letter, "undecodable", detail=why, kind=read.kind)
    change = read.change
    deciding = _deciding(letter.worker, change, stores)
    if not deciding:
        detail = f"{letter.worker} has no store that can be asked"
        return Prediction(letter, "apply", None, detail, change.kind, change.id, change.version)
    return _Undecided(letter, change, deciding)


def _deciding(worker: str, change: Record, stores: InstalledStores) -> Sequence[str]:
    if change.kind == "product_links":
        return [worker] if worker in stores.link_stores else []
    if change.kind == "product" or change.kind == "keyword":
        return stores.deciding(worker, change.kind)
    return []


async def _stored(undecided: Sequence[_Undecided], stores: InstalledStores) -> dict[Place, StoredVersion]:
    """What the deciding stores contain."""
    wanted: dict[tuple[str, RecordKind], dict[str, None]] = {}
    for _, change, deciding in undecided:
        for store in deciding:
            wanted.setdefault((store, change.kind), {})[change.id] = None
    stored: dict[Place, StoredVersion] = {}
    for (store, kind), ids in wanted.items():
        found: Mapping[str, StoredVersion]
        if kind == "product_links":
            found = await stores.link_sets(store, list(ids))
        else:
            found = await stores.entities(store, "product" if kind == "product" else "keyword", list(ids))
        stored |= {(store, kind, id): one for id, one in found.items()}
    return stored


def _compared(undecided: _Undecided, stored: Mapping[Place, StoredVersion], written: Written) -> Prediction:
    letter, change, stores = undecided
    outcomes: dict[str, Outcome] = {}
    newer: list[int] = []
    for store in stores:
        place = store, change.kind, change.id
        there = max(filter(None, (stored.get(place), written.get(place))), key=lambda one: one.version, default=None)
        outcomes[store] = _outcome(change, there)
        if there is not None and outcomes[store] in ("superseded", "deleted"):
            newer.append(there.version)
    whole = min(outcomes.values(), key=DECIDED.index)
    by = max(newer) if whole in ("superseded", "deleted") else None
    return Prediction(letter, whole, by, "", change.kind, change.id, change.version, outcomes)


def _outcome(change: Record, there: StoredVersion | None) -> Outcome:
    if there is None or there.version < change.version:
        return "apply"
    if there.version == change.version and not differ(getattr(there, "digest", None), digest_of(change)):
        return "applied_already"
    return "deleted" if there.deleted else "superseded"


def _deletes(change: Record) -> bool:
    return bool(getattr(change, "deleted", False))
