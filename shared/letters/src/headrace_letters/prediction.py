"""What a replay of a dead letter would do, from what the stores hold now.

Nothing is written. If nothing else runs in between, a replay then does what was said: the stores' own fences compare
the same versions. One thing cannot be known beforehand: whether a store refuses again what it has refused before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple, get_args

from headrace_letters.installed_stores import Held, InstalledStores
from headrace_letters.letter import Letter
from headrace_letters.replay_order import Entity, entity_of
from headrace_letters.replay_record import decoded, new_request
from headrace_runtime.decoder import Ignored, KafkaRecord, Undecoded
from headrace_schemas.fields import RecordKind
from headrace_worker.stage import Record

Outcome = Literal[
    "apply", "applied_already", "superseded", "deleted", "recompute", "undecodable", "ignored", "expired", "foreign"
]
"""apply: newer than what is stored. applied_already: stored with this very version. superseded, deleted: a newer
version is stored. recompute: links are asked for anew, and follow from what is current. undecodable: the worker would
reject it again. ignored: the settings say to skip it. expired: too old, or gone from its topic. foreign: no installed
worker's letter. The last two are not replayed.
"""
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
DECIDED: tuple[Outcome, ...] = ("apply", "applied_already", "superseded", "deleted")
"""What a store can say. Where several decide, the first of these that one says stands for all."""
REPLAYABLE_FOR = timedelta(days=14)
"""From the first failure. Tombstones are kept longer, so that no replay can bring back what was deleted."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a replay of one letter would do. `by`: the version that supersedes or has deleted it. `stores`: the outcome
    in each store that decides. `detail`: in words, where there is more to say; it may hold what a record says.
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
    """What an earlier replay of the same preview would have written."""

    version: int
    deleted: bool


Place = tuple[str, RecordKind, str]
"""A store, a kind and an id."""
Written = dict[Place, _Version]


async def predict(
    letters: Sequence[tuple[Letter, KafkaRecord | None]],
    stores: InstalledStores,
    written: Written | None = None,
    repeated: Mapping[Entity, int] | None = None,
) -> list[Prediction]:
    """A prediction for each letter with its record, in the order given, as if they were replayed in it.

    `written`: what those before would write, of the entities in `repeated`, or of all; it is added to. Raises
    Unavailable.
    """
    now = datetime.now(UTC)
    written = {} if written is None else written
    read = [_read(letter, record, stores, now) for letter, record in letters]
    held = await _held([one for one in read if isinstance(one, _Asked)], stores)
    predictions = []
    for one in read:
        if isinstance(one, Prediction):
            predictions.append(one)
            continue
        prediction = _compared(one, held, written)
        predictions.append(prediction)
        if repeated is None or entity_of(one.letter) in repeated:
            for store, outcome in prediction.stores.items():
                if outcome == "apply":
                    written[store, one.change.kind, one.change.id] = _Version(one.change.version, _deletes(one.change))
    return predictions


def refused(letter: Letter, record: KafkaRecord | None, stores: InstalledStores, now: datetime) -> Prediction | None:
    """Why a letter is not replayed at all; None for one that is."""
    if letter.origin != "headrace":
        return Prediction(letter, "foreign", detail="it is not Headrace's: have it sent again by what wrote it")
    try:
        stores.target(letter.worker)
    except LookupError:
        return Prediction(letter, "foreign", detail=f"the worker {letter.worker} is not installed here")
    if now - letter.first_failed_at > REPLAYABLE_FOR:
        return Prediction(letter, "expired", detail=f"it failed first at {letter.first_failed_at:%Y-%m-%d %H:%M} UTC")
    if record is None:
        return Prediction(letter, "expired", detail=f"its record is gone from {letter.at.topic}")
    return None


class _Asked(NamedTuple):
    """A letter's change, and the workers whose stores decide about it."""

    letter: Letter
    change: Record
    stores: Sequence[str]


def _read(letter: Letter, record: KafkaRecord | None, stores: InstalledStores, now: datetime) -> Prediction | _Asked:
    not_replayed = refused(letter, record, stores, now)
    if not_replayed is not None:
        return not_replayed
    assert record is not None
    place = stores.target(letter.worker)
    again = new_request(letter, record, place)
    if again is not None:
        return Prediction(letter, "recompute", kind=again.kind, entity_id=again.id)
    read = decoded(letter, record, place)
    if isinstance(read, Ignored):
        return Prediction(letter, "ignored", kind=read.kind)
    if isinstance(read, Undecoded):
        why = f"{read.rejection.reason}: {read.rejection.detail}"
        return Prediction(letter, "undecodable", detail=why, kind=read.kind)
    change = read.change
    deciding = _deciding(letter.worker, change, stores)
    if not deciding:
        detail = f"{letter.worker} keeps no store that can be asked"
        return Prediction(letter, "apply", None, detail, change.kind, change.id, change.version)
    return _Asked(letter, change, deciding)


def _deciding(worker: str, change: Record, stores: InstalledStores) -> Sequence[str]:
    if change.kind == "product_links":
        return [worker] if worker in stores.link_stores else []
    if change.kind == "product" or change.kind == "keyword":
        return stores.deciding(worker, change.kind)
    return []


async def _held(asked: Sequence[_Asked], stores: InstalledStores) -> dict[Place, Held]:
    """What the deciding stores hold."""
    wanted: dict[tuple[str, RecordKind], dict[str, None]] = {}
    for _, change, deciding in asked:
        for store in deciding:
            wanted.setdefault((store, change.kind), {})[change.id] = None
    held: dict[Place, Held] = {}
    for (store, kind), ids in wanted.items():
        found: Mapping[str, Held]
        if kind == "product_links":
            found = await stores.link_sets(store, list(ids))
        else:
            found = await stores.entities(store, "product" if kind == "product" else "keyword", list(ids))
        held |= {(store, kind, id): one for id, one in found.items()}
    return held


def _compared(asked: _Asked, held: Mapping[Place, Held], written: Written) -> Prediction:
    letter, change, stores = asked
    outcomes: dict[str, Outcome] = {}
    in_the_way: list[int] = []
    for store in stores:
        place = store, change.kind, change.id
        there = max(filter(None, (held.get(place), written.get(place))), key=lambda one: one.version, default=None)
        outcomes[store] = _outcome(change.version, there)
        if there is not None and there.version > change.version:
            in_the_way.append(there.version)
    whole = min(outcomes.values(), key=DECIDED.index)
    by = max(in_the_way) if whole in ("superseded", "deleted") else None
    return Prediction(letter, whole, by, "", change.kind, change.id, change.version, outcomes)


def _outcome(version: int, there: Held | None) -> Outcome:
    if there is None or there.version < version:
        return "apply"
    if there.version == version:
        return "applied_already"
    return "deleted" if there.deleted else "superseded"


def _deletes(change: Record) -> bool:
    return bool(getattr(change, "deleted", False))
