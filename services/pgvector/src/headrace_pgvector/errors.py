"""Which of PostgreSQL's errors are about the data, and which say nothing about it.

Source of the codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from headrace_shared.stage import BatchRejected, Rejected, Unavailable

STORE = "postgres"
DATA_CLASSES = ("22", "23")
DATA_CODES = ("54000",)
"""program_limit_exceeded: a value too large for an index row. The rest of class 54 is about the server."""
INTERNAL_CLASS = "XX"
NOT_PREPARED = ("3F000", "42P01", "42703", "42704")


@contextmanager
def postgres_errors() -> Iterator[None]:
    """Turns what asyncpg raises into BatchRejected or Unavailable; no message of these holds the DSN."""
    try:
        yield
    except asyncpg.PostgresError as error:
        raise _judged(error) from error
    except TimeoutError as error:
        raise Unavailable(STORE, "no answer in time") from error
    except OSError as error:
        raise Unavailable(STORE, f"cannot be reached: {error.strerror or type(error).__name__}") from error
    except asyncpg.InterfaceError as error:
        raise Unavailable(STORE, f"the connection failed: {type(error).__name__}") from error


def _judged(error: asyncpg.PostgresError) -> BatchRejected | Unavailable:
    code = error.sqlstate or ""
    if code.startswith(DATA_CLASSES) or code in DATA_CODES:
        place = getattr(error, "column_name", None) or getattr(error, "constraint_name", None)
        cause = (STORE, code, place) if place else (STORE, code)
        return BatchRejected(Rejected("refused_by_store", str(error), cause))
    hint = "; has `headrace stores apply` been run?" if code in NOT_PREPARED else ""
    return Unavailable(STORE, f"{code} {error}{hint}", suspect=code.startswith(INTERNAL_CLASS))
