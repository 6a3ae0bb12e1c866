"""Connections that know pgvector's types."""

from collections.abc import Awaitable, Callable

from pgvector.asyncpg import register_vector

from headrace_clients.postgres import NewConnection, Pool, new_pool
from headrace_clients.postgres_errors import STORE
from headrace_pgvector.settings import PgvectorSettings
from headrace_worker.stage import Unavailable


def vector_pool(
    settings: PgvectorSettings,
    connections: int,
    on_connect: Callable[[NewConnection], Awaitable[None]] | None = None,
) -> Pool:
    """A pool whose connections write and read vectors as numpy arrays. Raises ValueError if the DSN is malformed."""

    async def prepare_connection(connection: NewConnection) -> None:
        try:
            await register_vector(connection)
        except ValueError:
            hint = "has `headrace stores apply` been run?"
            raise Unavailable(STORE, f"the extension vector is missing; {hint}") from None
        if on_connect is not None:
            await on_connect(connection)

    return new_pool(settings.postgres, settings.names.schema, connections, prepare_connection)
