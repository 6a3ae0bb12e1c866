"""How the rows and vectors of products and keywords are replaced."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from orjson import dumps
from pgvector import Vector

from headrace_clients.postgres import Connection
from headrace_pgvector.fence import Kept
from headrace_pgvector.tables import Tables
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.embedded import EmbeddedChange


async def replace_entities(
    connection: Connection, tables: Tables, changes: Sequence[EmbeddedChange]
) -> dict[str, Kept]:
    """Writes the changes that are newer than the stored versions, within the connection's transaction.

    Returns what is stored of each entity that was not written.
    """
    await copy_incoming(connection, tables, changes)
    written = {row[0]: row[1] for row in await connection.fetch(tables.rows.write_newer)}
    kept = [change.id for change in changes if change.id not in written]
    rows = await connection.fetch(tables.kept, kept) if kept else []
    # The worker of another model may have written the row; the vector of this model is still missing.
    same = {row[0]: False for row in rows if row[3]}
    if same:
        await connection.execute(tables.add_hashes, list(same))
    await replace_vectors(connection, tables, changes, written | same)
    return {row[0]: Kept(row[1], row[2]) for row in rows}


async def copy_incoming(connection: Connection, tables: Tables, changes: Iterable[EmbeddedChange]) -> None:
    """Everything but the vectors. They go to their table when it is known which of them are needed."""
    await connection.copy_records_to_table(
        tables.rows.incoming,
        schema_name="pg_temp",
        columns=tables.rows.incoming_columns,
        records=[incoming_row(tables, change) for change in changes],
    )


async def replace_vectors(
    connection: Connection, tables: Tables, changes: Iterable[EmbeddedChange], written: Mapping[str, bool]
) -> None:
    """`written`: the ids whose rows now have these changes, and whether each row is new.

    The lock on an entity's row protects its vector too. ON CONFLICT also locks the rows that it does not change.
    """
    updated = [id for id, is_new in written.items() if not is_new]
    rows = await connection.fetch(tables.remove_changed_vectors, updated) if updated else []
    wanted = written.keys() - {row[0] for row in rows}
    await connection.copy_records_to_table(
        tables.vector_table,
        columns=(tables.id, "content_hash", "embedding"),
        records=[
            (change.id, change.embedding.content_hash, Vector(np.frombuffer(change.embedding.vector, "<f4")))
            for change in changes
            if change.embedding is not None and change.id in wanted
        ],
    )


def incoming_row(tables: Tables, change: EmbeddedChange) -> tuple[object, ...]:
    """One row of the temporary table. The fields of a delete are not stored.

    Those of the canary neither: its row is that of a deleted entity, so that no view shows it, and it has a vector.
    """
    hidden = change.deleted or change.id == CANARY_ID
    own = vars(change)
    values = [None if hidden else column_value(own[name]) for name in tables.columns[1:]]
    content_hash = change.embedding.content_hash if change.embedding else None
    return (change.id, *values, change.version, hidden, content_hash, change.digest)


def column_value(value: object) -> object:
    return dumps(value).decode() if isinstance(value, dict) else value
