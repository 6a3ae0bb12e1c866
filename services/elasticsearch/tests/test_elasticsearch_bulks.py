"""Bulk requests are cut by count and by bytes."""

from typing import Any

import pytest

from headrace_elasticsearch.bulks import BulkLimits, cut
from headrace_elasticsearch.documents import Action


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([1, 1, 1, 1], [[1, 1, 1], [1]]),
        ([6, 4, 1], [[6, 4], [1]]),
        ([6, 5, 5], [[6], [5, 5]]),
        ([2, 50, 2], [[2], [50], [2]]),
    ],
)
def test_no_request_is_over_a_limit_unless_one_change_alone_is(
    sizes: list[int], expected: list[list[int]], product: Any
) -> None:
    actions = [Action(product("a"), b"x" * size) for size in sizes]

    bulks = list(cut(actions, BulkLimits(actions=3, bytes=10)))

    assert [[len(action.lines) for action in bulk] for bulk in bulks] == expected
