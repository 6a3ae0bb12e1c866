"""Pages of letters, newest failure first, for people who look through them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from headrace_clients.postgres import Connection
from headrace_letters.letter_order import Place, newest, read_place
from headrace_letters.letter_rows import IndexedLetter, indexed_letter
from headrace_letters.selection import Selection


@dataclass(frozen=True, slots=True)
class Page:
    """Letters, newest failure first. `next`: the `after` of the next page; None on the last page."""

    letters: Sequence[IndexedLetter]
    next: str | None


async def page_of(
    connection: Connection, selection: Selection, answered_by: datetime, *, limit: int, after: str | None
) -> Page:
    """Up to `limit` letters. In a transaction. Raises ValueError for an `after` that no page returned."""
    place = None if after is None else read_place(after)
    rows = await newest(connection, selection, answered_by, limit=limit + 1, after=place)
    last = Place(rows[limit - 1]["failed_at"], rows[limit - 1]["number"]) if len(rows) > limit else None
    return Page([indexed_letter(row) for row in rows[:limit]], None if last is None else str(last))
