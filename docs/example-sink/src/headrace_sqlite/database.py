"""The connection to the file, used by one thread at a time, and what its errors mean."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from headrace_sqlite.settings import SqliteSettings
from headrace_worker.stage import BatchRejected, Rejected, Unavailable

STORE = "sqlite"


def connect(settings: SqliteSettings) -> sqlite3.Connection:
    """A connection without implicit transactions. Raises Unavailable if the file cannot be opened."""
    with sqlite_errors():
        connection = sqlite3.connect(
            settings.path, timeout=settings.timeout, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All or nothing. It takes the write lock at once, so that two writers wait for each other and never deadlock."""
    with sqlite_errors():
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.rollback()
            raise
        connection.commit()


@contextmanager
def sqlite_errors() -> Iterator[None]:
    """A broken constraint is about the data, and SQLite does not name the row; other errors are about the store."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        name = error.sqlite_errorname
        raise BatchRejected(Rejected("refused_by_store", str(error), (STORE, name), error)) from error
    except sqlite3.Error as error:
        not_prepared = "no such" in str(error) or "has no column" in str(error)
        hint = "; has `headrace stores apply` been run?" if not_prepared else ""
        raise Unavailable(STORE, f"{type(error).__name__}{hint}") from error
