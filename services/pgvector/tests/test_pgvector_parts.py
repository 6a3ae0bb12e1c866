"""The transactions of a batch and the outcome of each change, without a server."""

from datetime import UTC, datetime

import pytest

from headrace_pgvector.fence import Kept
from headrace_pgvector.stage import LARGEST_PART, SMALLEST_PART, WRITERS, even_parts, outcome, parts_of
from headrace_schemas.embedded import EmbeddedKeyword, EmbeddedProduct
from headrace_schemas.links import ProductLinks
from headrace_worker.stage import Applied, Superseded


def product(id: str, version: int = 1) -> EmbeddedProduct:
    return EmbeddedProduct(op="delete", version=version, occurred_at=datetime.now(UTC), product_id=id)


def keyword(id: str) -> EmbeddedKeyword:
    return EmbeddedKeyword(op="delete", version=1, occurred_at=datetime.now(UTC), keyword_id=id)


@pytest.mark.parametrize(
    ("changes", "sizes"),
    [
        (0, []),
        (SMALLEST_PART, [SMALLEST_PART]),
        (SMALLEST_PART + 1, [SMALLEST_PART, 1]),
        (WRITERS * 100, [100] * WRITERS),
        (WRITERS * 100 + 1, [101] * (WRITERS - 1) + [98]),
        (WRITERS * LARGEST_PART + 1, [LARGEST_PART] * WRITERS + [1]),
    ],
)
def test_every_writer_gets_an_even_part_that_is_neither_too_small_nor_too_large(changes: int, sizes: list[int]) -> None:
    alike = [product(str(number)) for number in range(changes)]
    parts = even_parts(alike)
    assert [len(part) for part in parts] == sizes
    assert [change for part in parts for change in part] == alike


def test_a_part_contains_changes_of_one_kind() -> None:
    links = ProductLinks(product_id="p", version=1, deleted=True)
    parts = parts_of([product("p"), keyword("k"), links, product("q")])
    assert [[change.id for change in part] for part in parts] == [["p", "q"], ["k"], ["p"]]


def test_a_change_is_superseded_only_by_a_newer_version() -> None:
    change = product("p", version=5)
    assert outcome(change, None) == Applied()
    assert outcome(change, Kept(5)) == Applied()
    assert outcome(change, Kept(6)) == Superseded(by=6)
