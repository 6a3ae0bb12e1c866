"""Creates the tables of a model's link sets, and the views under which readers find the sets of one model.

The migrations create the tables without a model, as earlier releases wrote them. The first model takes them over.
"""

from collections.abc import Mapping, Sequence

from headrace_clients.postgres import Connection
from headrace_clients.postgres_errors import STORE
from headrace_pgvector.links import LINKS, SETS, LinkTables
from headrace_schemas.canary import CANARY_ID
from headrace_worker.store import InUse
from headrace_worker.store_names import model_in

KIND = "SELECT relkind FROM pg_class WHERE oid = to_regclass(quote_ident($1))"
TABLE = b"r"
OTHER_MODEL = """
    SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
    AND split_part(relname, '__', 1) = $1 AND relname <> $1 LIMIT 1
"""
SHOWN = """
    SELECT t.relname FROM pg_rewrite r
    JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
    JOIN pg_class t ON t.oid = d.refobjid AND t.relkind = 'r'
    WHERE r.ev_class = to_regclass(quote_ident($1)) LIMIT 1
"""
"""$1: a view. The name of its table."""
DEFINITION = "SELECT pg_get_viewdef(to_regclass(quote_ident($1)))"
READERS = """
    SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END FROM pg_class, aclexplode(relacl)
    WHERE oid = to_regclass(quote_ident($1)) AND privilege_type = 'SELECT' AND grantee <> relowner
"""


async def create_link_tables(connection: Connection, tables: LinkTables) -> list[str]:
    """Creates what is missing, in the connection's transaction. A view that exists stays on its model; one of an
    earlier release, which shows the links of the canary, hides them now.

    Returns one line for each thing that it created or renamed.
    """
    made = []
    for public, of_model in names(tables).items():
        if await connection.fetchval(KIND, public) == TABLE:
            await connection.execute(f'ALTER TABLE {public} RENAME TO "{of_model}"')
            made.append(f"{STORE}: the table {public} is now {of_model}")
        elif await connection.fetchval(KIND, of_model) is None:
            other = await connection.fetchval(OTHER_MODEL, public)
            await connection.execute(f'CREATE TABLE "{of_model}" (LIKE "{other}" INCLUDING ALL)')
            made.append(f"{STORE}: table {of_model}")
        if await connection.fetchval(KIND, public) is None:
            made.append(await _serve(connection, public, of_model))
        elif CANARY_ID not in await connection.fetchval(DEFINITION, public):
            made.append(await _serve(connection, public, await connection.fetchval(SHOWN, public)))
    return made


async def serve_link_tables(connection: Connection, tables: LinkTables) -> list[str]:
    """Moves the views to this model. Returns one line for each that moved."""
    return [
        await _serve(connection, public, of_model)
        for public, of_model in names(tables).items()
        if await connection.fetchval(SHOWN, public) != of_model
    ]


async def other_model(connection: Connection, tables: LinkTables) -> str | None:
    """The model that the views show, if this one has no tables. A table of an earlier release has no model."""
    if await connection.fetchval(KIND, tables.sets.name) is not None:
        return None
    shown = await connection.fetchval(SHOWN, SETS)
    return model_in(shown) if shown else None


async def check_unused(connection: Connection, tables: LinkTables) -> None:
    """Raises InUse if a view shows a table of this model."""
    for public, of_model in names(tables).items():
        if await connection.fetchval(SHOWN, public) == of_model:
            raise InUse(f"the view {public} shows {of_model}")


async def drop_tables(connection: Connection, tables: LinkTables, vectors: Sequence[str]) -> list[str]:
    """Removes the tables of a model's link sets and these tables of its vectors. Raises InUse."""
    await check_unused(connection, tables)
    dropped = []
    for table in (*names(tables).values(), *vectors):
        if await connection.fetchval(KIND, table) == TABLE:
            await connection.execute(f'DROP TABLE "{table}"')
            dropped.append(f"{STORE}: table {table} removed")
    return dropped


def names(tables: LinkTables) -> Mapping[str, str]:
    """The view of readers to the table of the model."""
    return {SETS: tables.sets.name, LINKS: tables.links_name}


async def _serve(connection: Connection, public: str, of_model: str) -> str:
    """Who may read the table may read the view: a role that read the table before it was renamed still can."""
    shown = f"SELECT * FROM \"{of_model}\" WHERE product_id <> '{CANARY_ID}'"  # noqa: S608
    await connection.execute(f"CREATE OR REPLACE VIEW {public} AS {shown}")
    for row in await connection.fetch(READERS, of_model):
        await connection.execute(f"GRANT SELECT ON {public} TO {row[0]}")
    return f"{STORE}: view {public} of {of_model}"
