"""What differs and is only late, by what the topics had when the comparison began."""

from datetime import UTC, datetime

import pytest

from headrace_expected.differences import Difference, Finding
from headrace_expected.entities import Position, expected_of
from headrace_schemas.changes import ProductChange
from headrace_verify.fold_file import Row
from headrace_verify.second_look import vector_may_follow

CHANGE = ProductChange(op="upsert", product_id="a", title="t", version=3, occurred_at=datetime.now(UTC))
BEFORE = Row(expected_of(CHANGE, Position(0, 0)), 0)


@pytest.mark.parametrize(
    ("difference", "stored", "before", "may"),
    [
        (Difference.MISSING_VECTOR, 4, BEFORE, True),
        (Difference.MISSING_VECTOR, 1, None, True),
        (Difference.MISSING_VECTOR, 3, BEFORE, False),
        (Difference.WRONG_VECTOR, 4, BEFORE, False),
        (Difference.MISSING, None, BEFORE, False),
    ],
)
def test_the_vector_of_another_model_s_write_may_follow(
    difference: Difference, stored: int | None, before: Row | None, may: bool
) -> None:
    assert vector_may_follow(Finding("product", "a", difference, "", 4, stored), before) == may
