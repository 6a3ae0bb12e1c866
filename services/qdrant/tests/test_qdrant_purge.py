"""Tombstones are removed only by servers that do not bring them back."""

import pytest

from headrace_qdrant.purge import removes_for_good


@pytest.mark.parametrize(
    ("version", "safe"),
    [("1.18.3", False), ("1.19.0", True), ("1.20.1", True), ("2.0.0", True), ("", False), ("dev", False)],
)
def test_only_servers_that_remove_points_for_good_are_trusted(version: str, safe: bool) -> None:
    assert removes_for_good(version) is safe
