"""What letters are looked at and counted from: their rows, or the tallies that the database keeps of them."""

from datetime import timedelta

from headrace_clients.postgres import SCHEMA
from headrace_letters.merge_statements import LETTERS
from headrace_letters.selection import STATUS_TYPE, Selection

TALLIED = timedelta(minutes=5)
"""The steps of time by which the database tallies failures."""

VISIBLE = f"""
    SELECT *,
        CASE WHEN status = 'replaying' AND replayed_at < $1 THEN 'waiting'::{STATUS_TYPE} ELSE status END AS status_now
    FROM {LETTERS} WHERE dead_topic IS NOT NULL
"""  # noqa: S608
"""The letters that have been seen. A replay from before $1 that nobody has answered counts as waiting."""

_COUNTED_ROWS = (
    f"SELECT *, 1 AS letters, first_failed_at AS first_seen, failed_at AS last_seen FROM ({VISIBLE}) AS visible"  # noqa: S608
)
_TALLIES = f"""
    SELECT fingerprint, worker, reason, status, status AS status_now, since AS failed_at, letters, first_seen, last_seen
    FROM {SCHEMA}.dead_tallies WHERE letters <> 0
    UNION ALL
    SELECT fingerprint, worker, reason, as_what, as_what, date_bin('5 minutes', failed_at, 'epoch'), letters,
        first_failed_at, failed_at
    FROM {LETTERS}, (VALUES ('replaying'::{STATUS_TYPE}, -1), ('waiting', 1)) AS moved (as_what, letters)
    WHERE dead_topic IS NOT NULL AND status = 'replaying' AND replayed_at < $1
"""  # noqa: S608


def counted(selection: Selection, *, finest: timedelta | None = None) -> str:
    """A query whose rows stand for `letters` letters each, with $1 as in VISIBLE.

    From the tallies where they know enough: not of single letters, nor of times closer than they are kept. `finest`:
    the steps of time in which the caller wants the failures; None where it does not look at their times.
    """
    of_single_letters = selection.few or selection.since is not None or selection.until is not None
    too_fine = finest is not None and finest < TALLIED
    return _COUNTED_ROWS if of_single_letters or too_fine else _TALLIES
