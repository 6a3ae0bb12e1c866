"""Which writes bring the store to a batch of changes, given what it was seen to hold."""

from collections.abc import Iterable, Mapping, Sequence

from qdrant_client import models

from headrace_qdrant.points import Held, set_fields, upsert_below
from headrace_schemas.embedded import EmbeddedChange
from headrace_shared.stage import Applied, Outcome, Superseded

NOTHING = Held()


def newer_than_held(changes: Iterable[EmbeddedChange], held: Mapping[str, Held]) -> list[EmbeddedChange]:
    """The changes that are still to be written."""
    return [change for change in changes if change.version > held.get(change.id, NOTHING).version]


def writes(changes: Iterable[EmbeddedChange], held: Mapping[str, Held]) -> list[models.UpdateOperation]:
    """One operation for all changes that can share a fence, and one for each that keeps its vector.

    What was seen may have changed since: every operation carries its own condition, so a plan made from an old look
    leaves work undone and never does harm.
    """
    whole: list[EmbeddedChange] = []
    operations: list[models.UpdateOperation] = []
    for change in changes:
        if change.embedding and change.embedding.content_hash == held.get(change.id, NOTHING).content_hash:
            operations.append(set_fields(change))
        else:
            whole.append(change)
    groups = groups_sharing_a_fence(whole, held)
    return operations + [upsert_below(group, group[0].version) for group in groups]


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
