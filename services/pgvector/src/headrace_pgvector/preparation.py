"""Creates and migrates the tables that the worker writes to."""

from functools import partial
from itertools import chain

from headrace_clients.postgres import Connection
from headrace_clients.postgres_errors import STORE
from headrace_clients.postgres_migrations import migrate
from headrace_pgvector.link_tables import create_link_tables
from headrace_pgvector.links import LinkTables
from headrace_pgvector.settings import PgvectorSettings
from headrace_pgvector.tables import Tables, tables_of

SERVICE = "pgvector"
PACKAGE = "headrace_pgvector"


async def prepare(settings: PgvectorSettings) -> list[str]:
    """Applies the missing migrations and creates the missing tables of the model, in one transaction. It can be
    repeated, and two can run at once.

    Returns one line for each thing that it created. Raises Unavailable, and ValueError if a vector table has another
    dimension.
    """
    create = partial(_create_of_model, settings.model, settings.vector_size)
    return await migrate(settings.postgres, settings.names.schema, SERVICE, PACKAGE, create)


async def _create_of_model(model: str, dimension: int, connection: Connection) -> list[str]:
    vectors = [await _create_vectors(connection, table, dimension) for table in tables_of(model).values()]
    return [*chain(*vectors), *await create_link_tables(connection, LinkTables(model))]


async def _create_vectors(connection: Connection, table: Tables, dimension: int) -> list[str]:
    if await connection.fetchval("SELECT to_regclass($1)", table.vectors) is None:
        await connection.execute(table.create_vectors(dimension))
        return [f"{STORE}: table {table.vectors}, {dimension} dimensions"]
    found = await connection.fetchval(table.dimension)
    if found != dimension:
        raise ValueError(f"the table {table.vectors} has vectors of {found} dimensions, not {dimension}")
    return []
