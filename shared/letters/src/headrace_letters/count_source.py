"""Where counts come from: letter rows, or kept totals."""

from datetime import timedelta

from headrace_letters.merge_statements import LETTERS
from headrace_letters.selection import STATUS_TYPE, Selection

TOTALS_STEP = timedelta(minutes=5)
"""The database keeps totals for steps of this length."""

VISIBLE = f"""
    SELECT *,
        CASE WHEN status = 'replaying' AND replayed_at < $1 THEN 'waiting'::{STATUS_TYPE} ELSE status END AS status_now
    FROM {LETTERS} WHERE dead_topic IS NOT NULL
"""  # noqa: S608
"""The letters whose record was read. A replay from before $1 without an answer counts as waiting."""

_LETTER_ROWS = (
    f"SELECT *, 1 AS letters, first_failed_at AS first_seen, failed_at AS last_seen FROM ({VISIBLE}) AS visible"  # noqa: S608
)
_TOTALS = f"""
    SELECT fingerprint, worker, reason, status, status AS status_now, since AS failed_at, letters, first_seen, last_seen
    FROM dead_tallies WHERE letters <> 0
    UNION ALL
    SELECT fingerprint, worker, reason, as_what, as_what, date_bin('5 minutes', failed_at, 'epoch'), letters,
        first_failed_at, failed_at
    FROM {LETTERS}, (VALUES ('replaying'::{STATUS_TYPE}, -1), ('waiting', 1)) AS moved (as_what, letters)
    WHERE dead_topic IS NOT NULL AND status = 'replaying' AND replayed_at < $1
"""  # noqa: S608


def count_source(selection: Selection, *, finest: timedelta | None = None) -> str:
    """A query; each of its rows stands for `letters` letters. $1 is as in VISIBLE.

    It reads the kept totals if they are fine enough: they have no single letters and no steps shorter than TOTALS_STEP.
    `finest`: the step of time in which the caller groups failures; None if it does not use their times.
    """
    too_fine = finest is not None and finest < TOTALS_STEP
    return _TOTALS if has_totals(selection) and not too_fine else _LETTER_ROWS


def has_totals(selection: Selection) -> bool:
    """Whether totals are kept for all that it compares: they are by cause, worker and status."""
    return not selection.few and selection.since is None and selection.until is None
