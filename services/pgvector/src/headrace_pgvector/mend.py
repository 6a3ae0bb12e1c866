"""Writes that do not pass the fence: they replace a row that is wrong under the version that it has."""

from headrace_clients.postgres import Connection
from headrace_pgvector.entities import replace_entities
from headrace_pgvector.tables import Tables
from headrace_schemas.embedded import EmbeddedChange
from headrace_worker.scan import Scanned


async def put_in_place_of(connection: Connection, tables: Tables, seen: Scanned, change: EmbeddedChange) -> None:
    """Writes row and vector of the change within the connection's transaction, if the row still has the version and
    the digest that were seen. The lock on the row keeps every other writer out until then.
    """
    locked = f"SELECT version, digest FROM {tables.rows.table} WHERE {tables.id} = $1 FOR UPDATE"  # noqa: S608
    row = await connection.fetchrow(locked, seen.stored.id)
    if row is None or tuple(row) != (seen.stored.version, seen.stored.digest):
        return
    for table in (tables.vectors, tables.rows.table):
        await connection.execute(f"DELETE FROM {table} WHERE {tables.id} = $1", seen.stored.id)  # noqa: S608
    await replace_entities(connection, tables, [change])
