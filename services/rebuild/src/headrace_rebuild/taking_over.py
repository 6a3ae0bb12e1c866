"""What the new store takes over from the one in use, so that nothing steps back.

A compacted topic forgets a null delete after 30 days, and keeps the highest offset of a key, not the highest version.
Link sets are computed, and their topic keeps them for 14 days: the worker `link` has all of them.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from headrace_runtime.attempts import Attempts
from headrace_schemas.changes import CHANGES, ID_FIELDS, Change
from headrace_schemas.fields import Kind
from headrace_schemas.links import ProductLinks
from headrace_worker.scan import Scan, Scanned
from headrace_worker.settings import WorkerSettings
from headrace_worker.stage import Stage, Unavailable
from headrace_worker.store import LinkStore

PART = 500


@dataclass(slots=True)
class TakenOver:
    """`tombstones`, `versions`: entities of which the store in use had a delete, or a higher version. `left`: live
    entities that the topics do not have, which a clean build would not have either.
    """

    tombstones: int = 0
    versions: int = 0
    left: int = 0


async def newer_in_use(in_use: Scan, new: Scan, kind: Kind) -> list[bytes]:
    """The keys of the entities of which the store in use has a higher version than the new one."""
    keys: list[bytes] = []
    async for page in in_use.pages(kind):
        known = await new.read(kind, [one.key for one in page.rows])
        keys += [one.key for one in page.rows if _version(known.get(one.key)) < one.fence]
    return keys


async def take_over(
    in_use: Scan, new: Scan, stage: Stage[Any], settings: WorkerSettings, kind: Kind, keys: Sequence[bytes]
) -> TakenOver:
    """Writes to the new store what it still lacks of these keys. Raises Unavailable."""
    taken = TakenOver()
    for start in range(0, len(keys), PART):
        part = list(keys[start : start + PART])
        known = await new.read(kind, part)
        changes: list[Change] = []
        for key, one in (await in_use.read(kind, part)).items():
            if _version(known.get(key)) >= one.fence:
                continue
            if not one.stored.deleted and key not in known:
                taken.left += 1
                continue
            taken.tombstones += one.stored.deleted
            taken.versions += not one.stored.deleted
            changes.append(_change(kind, one))
        await _write(stage, settings, changes)
    return taken


async def copy_links(origin: LinkStore, stage: Stage[Any], settings: WorkerSettings) -> int:
    """Writes every link set of the worker `link` to the new store; their number. Raises Unavailable."""
    count = 0
    async for part in _parts(origin.scan_links()):
        await _write(stage, settings, part)
        count += len(part)
    return count


async def _parts(sets: AsyncIterator[ProductLinks]) -> AsyncIterator[list[ProductLinks]]:
    part: list[ProductLinks] = []
    async for links in sets:
        part.append(links)
        if len(part) == PART:
            yield part
            part = []
    if part:
        yield part


async def _write(stage: Stage[Any], settings: WorkerSettings, changes: Sequence[Any]) -> None:
    if not changes:
        return
    attempts = Attempts(stage, timeout=settings.batch.give_back_after, poison_tries=settings.batch.poison_tries)
    for outcome in await attempts.apply(changes):
        if isinstance(outcome, Unavailable):
            raise outcome


def _version(known: Scanned | None) -> int:
    return known.fence if known is not None else 0


def _change(kind: Kind, one: Scanned) -> Change:
    """The stored entity as a change of its version."""
    stored = one.stored
    fields = {} if stored.deleted else stored.fields
    given = fields | {ID_FIELDS[kind]: stored.id, "version": stored.version, "occurred_at": datetime.now(UTC)}
    return CHANGES[kind].model_validate({"op": "delete" if stored.deleted else "upsert", **given})
