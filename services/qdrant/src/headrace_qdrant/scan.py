"""A scan of the collections by point id, for the comparison with the topics."""

import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from qdrant_client import models

from headrace_clients.qdrant import VECTOR, check_completed, connect, current_collection, point_id, qdrant_errors
from headrace_qdrant.mend import in_place_of
from headrace_qdrant.purge import remove_tombstones, removes_for_good
from headrace_qdrant.settings import QdrantWorkerSettings
from headrace_qdrant.store import entity_fields
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.changes import ID_FIELDS
from headrace_schemas.embedded import EmbeddedChange
from headrace_schemas.fields import Kind
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.scan import Page, Scanned
from headrace_worker.store import Stored

PAGE = 1000


class QdrantScan:
    """Reads the points of one model's collections. A key is the text of a point id that is a UUID. The workers write no
    other ids; a whole number, which Qdrant sorts before them, is a zero byte and eight bytes.
    """

    def __init__(self, settings: QdrantWorkerSettings) -> None:
        self._client = connect(settings.qdrant)
        self._collections = {kind: current_collection(kind, settings.names) for kind in SOURCE_NAMES}

    def key(self, id: str) -> bytes:
        return point_id(id).encode()

    async def pages(self, kind: Kind, after: bytes = b"", upto: bytes | None = None) -> AsyncIterator[Page]:
        offset: Any = _point(after) if after else None
        while True:
            with qdrant_errors("scan"):
                points, offset = await self._client.scroll(
                    self._collections[kind], limit=PAGE, offset=offset, with_payload=True, with_vectors=[VECTOR]
                )
            found = [scanned(kind, point) for point in points]
            wanted = [one for one in found if after < one.key and (upto is None or one.key <= upto)]
            ended = offset is None or (upto is not None and found[-1].key >= upto)
            yield Page([one for one in wanted if one.stored.id != CANARY_ID], None if ended else found[-1].key)
            if ended:
                return

    async def read(self, kind: Kind, keys: Sequence[bytes]) -> dict[bytes, Scanned]:
        found: dict[bytes, Scanned] = {}
        for start in range(0, len(keys), PAGE):
            ids: list[Any] = [_point(key) for key in keys[start : start + PAGE]]
            with qdrant_errors("read"):
                points = await self._client.retrieve(
                    self._collections[kind], ids, with_payload=True, with_vectors=[VECTOR]
                )
            found |= {one.key: one for one in (scanned(kind, point) for point in points)}
        return found

    async def mend(self, kind: Kind, seen: Scanned, change: EmbeddedChange) -> None:
        whole = in_place_of(seen, _point(seen.key), change)
        with qdrant_errors("write"):
            strong = models.WriteOrdering.STRONG
            done = await self._client.upsert(
                self._collections[kind], whole.points, True, strong, update_filter=whole.update_filter
            )
        check_completed([done])

    async def purge(self, kind: Kind, before: datetime) -> int:
        with qdrant_errors("read"):
            version = (await self._client.info()).version
        if not removes_for_good(version):
            raise ValueError(f"Qdrant {version} may bring a removed tombstone back when it restarts; 1.19 does not")
        return await remove_tombstones(self._client, self._collections[kind], before)

    async def refresh(self) -> None:
        """Nothing to do: a completed write is visible at once."""

    async def close(self) -> None:
        await self._client.close()


def scanned(kind: Kind, point: models.Record) -> Scanned:
    """A point, also one that is not written by a worker."""
    payload = point.payload or {}
    id = payload.get(ID_FIELDS[kind])
    version, deleted, digest = (payload.get(name) for name in ("version", "deleted", "digest"))
    vector = point.vector.get(VECTOR) if isinstance(point.vector, dict) else None
    stored = Stored(
        id=id if isinstance(id, str) else "",
        version=version if type(version) is int else 0,
        deleted=deleted is True,
        fields=entity_fields(kind, payload) if not deleted else _beside_id(kind, payload),
        content_hash=payload.get("content_hash") if vector is not None else None,
        model=payload.get("model") if vector is not None else None,
        digest=digest if isinstance(digest, str) else None,
    )
    numbers = None if vector is None else np.array(vector, "<f4").tobytes()
    return Scanned(_key(point.id), stored, _fence(payload), numbers)


def _fence(payload: dict[str, Any]) -> int:
    """The version that `below` compares."""
    high, low = payload.get("version_hi"), payload.get("version_lo")
    return (high << 32) + low if type(high) is int and type(low) is int else 0


def _beside_id(kind: Kind, payload: dict[str, Any]) -> dict[str, Any]:
    """The fields that a tombstone must not have."""
    return {name: value for name, value in entity_fields(kind, payload).items() if name != ID_FIELDS[kind]}


def _key(id: Any) -> bytes:
    return b"\0" + id.to_bytes(8) if isinstance(id, int) else str(id).encode()


def _point(key: bytes) -> int | str:
    return int.from_bytes(key[1:]) if key[:1] == b"\0" else str(uuid.UUID(key.decode()))
