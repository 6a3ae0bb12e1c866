"""The statements that let only a newer version replace a row."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple


@dataclass(frozen=True)
class Derived:
    """A column that the statement computes.

    `inserted`: an expression over the columns of the batch. `updated`: one over the stored row, `t`, and the inserted
    one, `excluded`.
    """

    column: str
    inserted: str
    updated: str


class Kept(NamedTuple):
    """What a row has that was not written, because its version is not older."""

    version: int
    digest: str | None = None


@dataclass(frozen=True)
class FencedTable:
    """A table with a row for each id, with its version and, for a tombstone, the time of the delete.

    `columns`: the fields of the record, id first. `incoming_text`: further text columns of a batch, for later
    statements of its transaction. None of these names comes from a record.
    """

    name: str
    columns: tuple[str, ...]
    incoming_text: tuple[str, ...] = ()
    derived: tuple[Derived, ...] = ()

    @property
    def id(self) -> str:
        return self.columns[0]

    @property
    def table(self) -> str:
        """The name, quoted: it may contain a model id."""
        return f'"{self.name}"'

    @property
    def incoming(self) -> str:
        """The temporary table of each connection, into which a batch is copied."""
        return f"incoming_{self.name.partition('__')[0]}"

    @property
    def incoming_columns(self) -> tuple[str, ...]:
        return (*self.columns, "version", "deleted", *self.incoming_text)

    @property
    def create_incoming(self) -> str:
        more = "".join(f", {column} text" for column in self.incoming_text)
        return f"""
            CREATE TEMPORARY TABLE {self.incoming} (LIKE {self.table}, deleted boolean{more})
            ON COMMIT DELETE ROWS
        """

    @cached_property
    def write_newer(self) -> str:
        """Writes the changes that are newer than the stored versions, in one atomic step for each row.

        Returns each id that was written, and whether its row is new: only one that was updated has an xmax.
        """
        written = (*self.columns, "version", "deleted_at")
        assigned = [f"{column} = excluded.{column}" for column in written[1:]]
        assigned += [f"{derived.column} = {derived.updated}" for derived in self.derived]
        values = (*self.columns, "version", "CASE WHEN deleted THEN now() END", *(one.inserted for one in self.derived))
        return f"""
            INSERT INTO {self.table} AS t ({", ".join((*written, *(one.column for one in self.derived)))})
            SELECT {", ".join(values)}
            FROM {self.incoming} ORDER BY {self.id}
            ON CONFLICT ({self.id}) DO UPDATE SET {", ".join(assigned)}
            WHERE excluded.version > t.version
            RETURNING {self.id}, xmax = 0
        """  # noqa: S608

    @cached_property
    def versions(self) -> str:
        """$1: ids."""
        return f"SELECT {self.id}, version FROM {self.table} WHERE {self.id} = ANY($1)"  # noqa: S608
