"""Which of PostgreSQL's errors are about the data, and which mean that it is unavailable.

Source of the codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from headrace_worker.stage import BatchRejected, NoAnswer, Rejected, Unavailable, UnavailableKind

STORE = "postgres"
DATA_CLASSES = ("22", "23")
DATA_CODES = ("54000",)
"""program_limit_exceeded: a value is too large for an index row. The other codes of class 54 are about the server."""
INTERNAL_CLASS = "XX"
COPIED_COLUMN = re.compile(r"^COPY [^,]+, line \d+, column (\w+)")
CREDENTIALS = ("28000", "28P01")
CANCELED = "57014"
"""query_canceled: of the time limit of a statement, or of an operator."""
NOT_PREPARED = ("3F000", "42P01", "42703", "42704")


@contextmanager
def postgres_errors() -> Iterator[None]:
    """Turns asyncpg's errors into BatchRejected or Unavailable, without the DSN."""
    try:
        yield
    except asyncpg.PostgresError as error:
        raise _meaning(error) from error
    except TimeoutError as error:
        raise NoAnswer(STORE, "no answer in time", kind="unreachable") from error
    except OSError as error:
        detail = f"cannot be reached: {error.strerror or type(error).__name__}"
        raise Unavailable(STORE, detail, kind="unreachable") from error
    except asyncpg.InterfaceError as error:
        raise Unavailable(STORE, f"the connection failed: {type(error).__name__}") from error


def _meaning(error: asyncpg.PostgresError) -> BatchRejected | Unavailable:
    code = error.sqlstate or ""
    if code.startswith(DATA_CLASSES) or code in DATA_CODES:
        return BatchRejected(Rejected("refused_by_store", str(error), (STORE, code, *_place(error)), error))
    if code == CANCELED:
        return NoAnswer(STORE, f"{code} {error.args[0]}")
    hint = "; has `headrace stores apply` been run?" if code in NOT_PREPARED else ""
    kind: UnavailableKind = "credentials" if code in CREDENTIALS else "other"
    return Unavailable(STORE, f"{code} {error.args[0]}{hint}", suspect=code.startswith(INTERNAL_CLASS), kind=kind)


def _place(error: asyncpg.PostgresError) -> tuple[str, ...]:
    """The column or constraint of the error, if the error names one: in a field, or as the position in a COPY."""
    named = getattr(error, "column_name", None) or getattr(error, "constraint_name", None)
    copied = COPIED_COLUMN.search(getattr(error, "context", None) or "")
    place = named or (copied and copied[1])
    return (place,) if place else ()
