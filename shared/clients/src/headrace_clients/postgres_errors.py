"""Which of PostgreSQL's errors are about the data, and which mean that it is unavailable.

Source of the codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import asyncpg

from headrace_worker.stage import BatchRejected, NoAnswer, Rejected, Unavailable, UnavailableKind
from headrace_worker.store_calls import CALL_SECONDS, Operation, counted
from headrace_worker.tls_faults import TlsSettings, tls_fault

STORE = "postgres"
DATA_CLASSES = ("22", "23")
DATA_CODES = ("54000",)
"""program_limit_exceeded: a value is too large for an index row. The other codes of class 54 are about the server."""
INTERNAL_CLASS = "XX"
COPIED_COLUMN = re.compile(r"^COPY [^,]+, line \d+, column (\w+)")
RESOURCES = "53"
"""The class of errors such as too many connections, a full disk, or no memory."""
DSN = "HEADRACE_POSTGRES__DSN"
CREDENTIALS = {
    "28000": f"check the user, the password and sslmode in {DSN}",
    "28P01": f"check the user and the password in {DSN}",
    "3D000": f"check the database in {DSN}",
    "42501": f"grant it to the user in {DSN}",
}
"""What to do about a connection or a statement that the server does not allow."""
TLS = TlsSettings(
    address=DSN, switch="sslmode in it", authority=f"sslrootcert in {DSN}", certificate=f"sslcert in {DSN}"
)
REFUSES_TLS = "rejected SSL upgrade"
"""In asyncpg's error about a server without TLS; asyncpg has no class for it."""
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
        raise counted(STORE, _not_connected(error)) from error
    except asyncpg.ClientConfigurationError as error:
        detail = f"the connection cannot be made: check sslmode, sslrootcert and the other options in {DSN}"
        raise counted(STORE, Unavailable(STORE, detail)) from error
    except asyncpg.InterfaceError as error:
        raise counted(STORE, Unavailable(STORE, f"the connection failed: {type(error).__name__}")) from error


def _not_connected(error: OSError) -> Unavailable:
    if fault := tls_fault(error, TLS):
        return Unavailable(STORE, fault, kind="tls")
    if REFUSES_TLS in str(error):
        return Unavailable(STORE, f"the server has no TLS: check sslmode in {DSN}, or switch TLS on", kind="tls")
    return Unavailable(STORE, f"cannot be reached: {error.strerror or type(error).__name__}", kind="unreachable")


def _meaning(error: asyncpg.PostgresError) -> BatchRejected | Unavailable:
    code = error.sqlstate or ""
    if code.startswith(DATA_CLASSES) or code in DATA_CODES:
        return BatchRejected(Rejected("refused_by_store", str(error), (STORE, code, *_place(error)), error))
    if code == CANCELED:
        return NoAnswer(STORE, f"{code} {error.args[0]}")
    hint = "; has `headrace stores apply` been run?" if code in NOT_PREPARED else ""
    kind: UnavailableKind = "overloaded" if code.startswith(RESOURCES) else "other"
    if code in CREDENTIALS:
        kind, hint = "credentials", f": {CREDENTIALS[code]}"
    return Unavailable(STORE, f"{code} {error.args[0]}{hint}", suspect=code.startswith(INTERNAL_CLASS), kind=kind)


def _place(error: asyncpg.PostgresError) -> tuple[str, ...]:
    """The column or constraint of the error, if the error names one: in a field, or as the position in a COPY."""
    named = getattr(error, "column_name", None) or getattr(error, "constraint_name", None)
    copied = COPIED_COLUMN.search(getattr(error, "context", None) or "")
    place = named or (copied and copied[1])
    return (place,) if place else ()
