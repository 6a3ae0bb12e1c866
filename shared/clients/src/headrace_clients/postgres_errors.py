"""Which of PostgreSQL's errors are about the data, and which mean that it is unavailable.

Source of the codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import asyncpg

from headrace_worker.stage import BatchRejected, NoAnswer, Rejected, Unavailable, UnavailableKind
from headrace_worker.store_calls import CALL_SECONDS, Operation, counted

STORE = "postgres"
DATA_CLASSES = ("22", "23")
DATA_CODES = ("54000",)
"""program_limit_exceeded: a value is too large for an index row. The other codes of class 54 are about the server."""
INTERNAL_CLASS = "XX"
COPIED_COLUMN = re.compile(r"^COPY [^,]+, line \d+, column (\w+)")
RESOURCES = "53"
"""The class of errors such as too many connections, a full disk, or no memory."""
CREDENTIALS = ("28000", "28P01")
CANCELED = "57014"
"""query_canceled: of the time limit of a statement, or of an operator."""
NOT_PREPARED = ("3F000", "42P01", "42703", "42704")


@contextmanager
def postgres_errors(operation: Operation | None = None) -> Iterator[None]:
    """Turns asyncpg's errors into BatchRejected or Unavailable, without the DSN.

    It counts them, and measures the call. `operation`: what the call does; None for a call that is not measured.
    """
    try:
        with CALL_SECONDS.labels(STORE, operation).time() if operation else nullcontext():
            yield
    except asyncpg.PostgresError as error:
        raise counted(STORE, _meaning(error)) from error
    except TimeoutError as error:
        raise counted(STORE, NoAnswer(STORE, "no answer in time", kind="unreachable")) from error
    except OSError as error:
        detail = f"cannot be reached: {error.strerror or type(error).__name__}"
        raise counted(STORE, Unavailable(STORE, detail, kind="unreachable")) from error
    except asyncpg.InterfaceError as error:
        raise counted(STORE, Unavailable(STORE, f"the connection failed: {type(error).__name__}")) from error


def _meaning(error: asyncpg.PostgresError) -> BatchRejected | Unavailable:
    code = error.sqlstate or ""
    if code.startswith(DATA_CLASSES) or code in DATA_CODES:
        return BatchRejected(Rejected("refused_by_store", str(error), (STORE, code, *_place(error)), error))
    if code == CANCELED:
        return NoAnswer(STORE, f"{code} {error.args[0]}")
    hint = "; has `headrace stores apply` been run?" if code in NOT_PREPARED else ""
    kind: UnavailableKind = "overloaded" if code.startswith(RESOURCES) else "other"
    kind = "credentials" if code in CREDENTIALS else kind
    return Unavailable(STORE, f"{code} {error.args[0]}{hint}", suspect=code.startswith(INTERNAL_CLASS), kind=kind)


def _place(error: asyncpg.PostgresError) -> tuple[str, ...]:
    """The column or constraint of the error, if the error names one: in a field, or as the position in a COPY."""
    named = getattr(error, "column_name", None) or getattr(error, "constraint_name", None)
    copied = COPIED_COLUMN.search(getattr(error, "context", None) or "")
    place = named or (copied and copied[1])
    return (place,) if place else ()
