"""What anybody has written to a store is compared, whatever it is."""

import pytest

from headrace_elasticsearch.scan import scanned
from headrace_expected.differences import Comparison, Difference
from headrace_expected.entities import expected_of
from headrace_schemas.changes import ProductChange
from headrace_schemas.digest import digest_of
from headrace_verify.entity_comparison import finding
from headrace_verify.fold import NOWHERE
from headrace_verify.fold_file import Row

CHANGE = ProductChange.model_validate(
    {"op": "upsert", "product_id": "a", "version": 7, "title": "a title", "occurred_at": "2026-01-01T00:00:00Z"}
)
WRITTEN = {"product_id": "a", "title": "a title", "version": 7, "deleted": False, "digest": digest_of(CHANGE)}


@pytest.mark.parametrize(
    ("odd", "difference"),
    [
        ({}, None),
        ({"digest": []}, None),
        ({"digest": {"a": 1}}, None),
        ({"title": ["a title"]}, Difference.WRONG_CONTENT),
        ({"title": {"a": "b"}}, Difference.WRONG_CONTENT),
        ({"title": None}, Difference.WRONG_CONTENT),
        ({"version": "seven"}, None),
    ],
)
def test_a_document_of_any_types_is_compared(odd: dict[str, object], difference: Difference | None) -> None:
    found = scanned("product", {"_id": "a", "_version": 7, "_source": WRITTEN | odd})
    row = Row(expected_of(CHANGE, NOWHERE), 0)
    wrong = finding(Comparison({}, None, every_version=True), "product", "a", row, found)
    assert (wrong and wrong.difference) == difference
