"""Which writes bring the store to a batch of changes, given what it was seen to hold."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from qdrant_client import models

from headrace_qdrant.points import Held, set_fields, upsert_below
from headrace_schemas.embedded import EmbeddedChange
from headrace_worker.stage import Applied, Outcome, Superseded

NOTHING = Held()


def newer_than_held(changes: Iterable[EmbeddedChange], held: Mapping[str, Held]) -> list[EmbeddedChange]:
    """The changes that are still to be written."""
    return [change for change in changes if change.version > held.get(change.id, NOTHING).version]


@dataclass(frozen=True, slots=True)
class Writes:
    """What to send. Every write carries its own condition on what the store holds when it arrives, so a plan made
    from an old look leaves work undone and never does harm.

    `upsert`: the largest group of changes that share a fence. `operations`: one for each other group, and one for
    each change that keeps its vector.
    """

    upsert: models.PointsList | None
    operations: list[models.UpdateOperation]


def writes(changes: Iterable[EmbeddedChange], held: Mapping[str, Held]) -> Writes:
    """The fewest writes for changes that are newer than what is held."""
    whole: list[EmbeddedChange] = []
    operations: list[models.UpdateOperation] = []
    for change in changes:
        seen = held.get(change.id, NOTHING)
        if change.embedding and change.embedding.content_hash == seen.content_hash:
            operations.append(set_fields(change, seen))
        else:
            whole.append(change)
    largest, *others = sorted(groups_sharing_a_fence(whole, held), key=len, reverse=True) or [[]]
    operations += [models.UpsertOperation(upsert=upsert_below(group, group[0].version)) for group in others]
    return Writes(upsert_below(largest, largest[0].version) if largest else None, operations)


def groups_sharing_a_fence(changes: Iterable[EmbeddedChange], held: Mapping[str, Held]) -> list[list[EmbeddedChange]]:
    """The fewest groups in which every held version is below the group's smallest new one, that one first.

    A fence X writes a change if held < X and may write it if X <= new: the smallest number of points that pierce
    the intervals (held, new], found by taking right ends in order.
    """
    groups: list[list[EmbeddedChange]] = []
    for change in sorted(changes, key=lambda change: change.version):
        if groups and held.get(change.id, NOTHING).version < groups[-1][0].version:
            groups[-1].append(change)
        else:
            groups.append([change])
    return groups


def outcomes(changes: Sequence[EmbeddedChange], held: Mapping[str, Held]) -> list[Outcome]:
    """What became of changes none of which is newer than what is held."""
    return [_outcome(change.version, held[change.id].version) for change in changes]


def _outcome(version: int, held_version: int) -> Outcome:
    return Applied() if held_version == version else Superseded(by=held_version)
