"""At most one change per entity reaches a stage: the newest of the batch."""

from collections.abc import Iterable, Sequence

from headrace_runtime.decoder import Decoded

Key = tuple[str, str]


def newest_first(items: Iterable[Decoded]) -> dict[Key, list[Decoded]]:
    """The items of each (kind, id), newest version first.

    Of equal versions the first offset comes first, and a live record before a replay of it.
    """
    by_key: dict[Key, list[Decoded]] = {}
    for item in items:
        by_key.setdefault((item.change.kind, item.change.id), []).append(item)
    for candidates in by_key.values():
        if len(candidates) > 1:
            candidates.sort(key=lambda item: (-item.change.version, item.replayed, item.record.offset))
    return by_key


def conflicts(candidates: Sequence[Decoded]) -> int:
    """How many of one entity's items carry the version of another with a different value: a fault of the catalogue."""
    values: dict[int, bytes | None] = {}
    return sum(values.setdefault(item.change.version, item.record.value) != item.record.value for item in candidates)
