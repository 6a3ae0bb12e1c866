"""The limit of the bytes that one poll takes into memory."""

from headrace_runtime.decoder import Omitted


class PollLimit:
    """Counts the bytes of the values that a poll has unpacked, and says how many more records it may take.

    A poll ends early when its values have `max_bytes` together. A value of more than `largest_value` bytes, which no
    worker accepts, is kept only while there is room for it: else `Omitted` is in its place. Both are bytes as unpacked.
    """

    def __init__(self, max_bytes: int, largest_value: int) -> None:
        self._max_bytes = max_bytes
        self._largest_value = largest_value
        self._unpacked = 0

    def begin(self) -> None:
        """A poll begins: nothing is unpacked."""
        self._unpacked = 0

    def kept(self, value: bytes | None) -> bytes | None:
        """The value, or what is kept in its place. aiokafka calls this for each value that it unpacks."""
        if value is None:
            return None
        size = len(value)
        if size > self._largest_value and self._unpacked + size > self._max_bytes:
            return Omitted(size)
        self._unpacked += size
        return value

    @property
    def records(self) -> int:
        """So many more records stay within `max_bytes`, even if all are of the largest size; at least 1."""
        return max(1, (self._max_bytes - self._unpacked) // self._largest_value)

    @property
    def reached(self) -> bool:
        """Whether the poll ends: one more value, of at most half of `max_bytes`, might exceed the limit.

        A larger value may exceed it: if the poll left room for every such value, it would have one record.
        """
        return self._unpacked + min(self._largest_value, self._max_bytes // 2) > self._max_bytes
