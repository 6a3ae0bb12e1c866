"""An optional part of a sink: a scan of its store in the order of the store's keys, by which stores are compared."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol, runtime_checkable

from headrace_schemas.fields import Kind
from headrace_worker.store import Stored


class Scanned(NamedTuple):
    """One entity as a scan finds it, whatever wrote it.

    `key`: its place in the order of the scan, which need not be the place of its id: anybody may write to a store.
    `vector`: (d,) float32 little-endian; None without a vector. `fence`: the version that the store compares with that
    of a write.
    """

    key: bytes
    stored: Stored
    fence: int
    vector: bytes | None = None


class Page(NamedTuple):
    """Neighbours of one scan. `upto`: the scan has passed all keys up to this one; None: it is at its end."""

    rows: Sequence[Scanned]
    upto: bytes | None


class Scan(Protocol):
    """The entities of a store, without the canary. Every method raises Unavailable if the store does not answer.

    Keys compare byte by byte.
    """

    def key(self, id: str) -> bytes:
        """The key that the entity of this id has."""
        ...

    def pages(self, kind: Kind, after: bytes = b"", upto: bytes | None = None) -> AsyncIterator[Page]:
        """What is stored beyond the key `after` and up to the key `upto` (None: to the end), tombstones included, by
        key. The last page has no `upto`. Memory is that of a page.
        """
        ...

    async def read(self, kind: Kind, keys: Sequence[bytes]) -> dict[bytes, Scanned]:
        """What is stored now under these keys; an unknown key is missing from the result."""
        ...

    async def refresh(self) -> None:
        """Makes every acknowledged write visible to `pages`."""
        ...

    async def close(self) -> None:
        """Closes the connections."""
        ...


@runtime_checkable
class Mends(Scan, Protocol):
    """A store whose entities can be replaced under the version that they have."""

    async def mend(self, kind: Kind, seen: Scanned, change: Any) -> None:
        """Writes the change, a record as the worker reads it, in place of what was seen, and of nothing newer. The
        fence of the workers would refuse it, because its version is not higher. Raises Unavailable, and BatchRejected
        if the store refuses the change.
        """
        ...


@runtime_checkable
class Purges(Scan, Protocol):
    """A store that can remove tombstones for good."""

    async def purge(self, kind: Kind, before: datetime) -> int:
        """Removes the tombstones that this store received before that time, and returns their number.

        Raises Unavailable, and ValueError if this server could bring a removed one back.
        """
        ...
