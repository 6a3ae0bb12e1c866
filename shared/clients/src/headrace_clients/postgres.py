"""Connections to PostgreSQL with a time limit on everything."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncpg

from headrace_clients.settings import PostgresSettings

# Quoted, because these classes are generic only in asyncpg's stubs.
NewConnection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Connection: TypeAlias = "NewConnection | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
CLOSE_SECONDS = 5.0
GONE_MS = 1000
"""How often the server looks whether the client is gone while a statement runs, milliseconds (PostgreSQL 14)."""


def new_pool(
    settings: PostgresSettings,
    schema: str,
    connections: int,
    on_connect: Callable[[NewConnection], Coroutine[Any, Any, None]] | None = None,
    session: Mapping[str, str] | None = None,
) -> Pool:
    """A pool, to be awaited once before use. It connects when a connection is acquired: the server may be down.

    `schema`: that of every table that a statement names without a schema. `session`: further settings of PostgreSQL for
    each connection.
    """
    return asyncpg.create_pool(
        settings.dsn.get_secret_value(),
        min_size=0,
        max_size=connections,
        timeout=settings.timeout,
        command_timeout=settings.timeout,
        init=on_connect,
        server_settings={"search_path": schema, **session_settings(settings.timeout), **(session or {})},
    )


async def close_pool(pool: Pool) -> None:
    """Closes the connections, and drops them if the server does not answer in time."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await pool  # a pool that was never used cannot be closed either
            await pool.close()
    except TimeoutError:
        pool.terminate()


def session_settings(seconds: float) -> dict[str, str]:
    """The server also stops after `seconds`, so that a client that is paused or cut off does not keep its locks.

    It stops within `GONE_MS` if the connection is closed: asyncpg does not cancel a statement when it is dropped.
    """
    limit = str(int(seconds * 1000))
    return {
        "application_name": "headrace",
        "statement_timeout": limit,
        "client_connection_check_interval": str(GONE_MS),
        "idle_in_transaction_session_timeout": limit,
    }


@asynccontextmanager
async def transaction(pool: Pool, seconds: float) -> AsyncIterator[Connection]:
    """One READ COMMITTED transaction, of `seconds` at most.

    If the server answers with an error, the transaction is rolled back. After any other failure the connection is
    dropped, because a rollback would wait for a server that may not answer.
    """
    async with asyncio.timeout(seconds):
        connection = await pool.acquire()
        try:
            begun = connection.transaction(isolation="read_committed")
            await begun.start()
            yield connection
            await begun.commit()
        except asyncpg.PostgresError:
            if not connection.is_closed():
                await begun.rollback()
            raise
        except BaseException:
            with contextlib.suppress(asyncpg.InterfaceError):  # the pool has dropped it already
                connection.terminate()
            raise
        finally:
            await pool.release(connection)
