"""What a request carries of the changes that cause it."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from headrace_link.causes import Cause, carried_from
from headrace_schemas.headers import OCCURRED_AT, PUBLISHED_AT

PUBLISHED = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "occurred",
    [
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-12))),
    ],
)
def test_a_time_that_is_in_no_year_of_utc_is_left_out_and_stops_no_links(occurred: datetime) -> None:
    carried = carried_from([Cause(None, PUBLISHED, occurred)])["carried"]
    assert dict(carried) == {PUBLISHED_AT: b"1772366400000"}


def test_the_times_are_those_of_the_change_that_was_published_first() -> None:
    later = Cause(None, PUBLISHED + timedelta(seconds=1), PUBLISHED)
    first = Cause(None, PUBLISHED, datetime(2026, 3, 1, 13, tzinfo=timezone(timedelta(hours=2))))
    carried = dict(carried_from([later, first])["carried"])
    assert carried == {PUBLISHED_AT: b"1772366400000", OCCURRED_AT: b"2026-03-01T11:00:00+00:00"}
