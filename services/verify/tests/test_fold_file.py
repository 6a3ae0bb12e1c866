"""The file of the fold keeps what the rules of the model need, and nothing of older versions."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from headrace_expected.entities import Expected, Position, expected_of, fold
from headrace_schemas.changes import ProductChange
from headrace_verify.fold_file import FoldFile
from headrace_verify.second_look import same


@pytest.fixture
def file() -> Iterator[FoldFile]:
    made = FoldFile()
    yield made
    made.remove()


def product(id: str, version: int, title: str = "t", **fields: Any) -> ProductChange:
    fields = {"op": "upsert", "title": title} | fields
    return ProductChange(product_id=id, version=version, occurred_at=datetime.now(UTC), **fields)


def delete(id: str, version: int) -> ProductChange:
    return ProductChange(op="delete", product_id=id, version=version, occurred_at=datetime.now(UTC))


@pytest.mark.parametrize(
    "changes",
    [
        [product("a", 1), product("a", 3), product("a", 2)],
        [product("a", 1), product("a", 1)],
        [product("a", 2), delete("a", 2), product("a", 1)],
        [product("a", 2), product("a", 2, "other"), product("a", 3)],
        [product("a", 3, "x"), product("a", 3, "y"), product("a", 3, "x")],
        [delete("a", 5), product("a", 4), product("b", 1)],
    ],
)
def test_the_file_folds_as_the_model_does(file: FoldFile, changes: list[ProductChange]) -> None:
    placed = [(change, Position(0, offset)) for offset, change in enumerate(changes)]
    file.put([(expected_of(change, position), 7) for change, position in placed])
    assert read(file) == fold(placed, {})


def test_a_version_that_was_taken_back_is_gone(file: FoldFile) -> None:
    file.put([(expected_of(product(id, 4), Position(0, 0)), 7) for id in ("a", "b")])
    file.forget("product", "a", 4)
    file.forget("product", "b", 3)
    assert [id for _, id in read(file)] == ["b"]


def backwards(id: str) -> bytes:
    return id[::-1].encode()


def test_ranges_of_any_key_are_the_whole(file: FoldFile) -> None:
    ids = [f"{number:02}" for number in range(20)]
    file.put([(expected_of(product(id, 1), Position(0, 0)), 7) for id in ids[:12]])
    file.key_by(backwards)
    file.put([(expected_of(product(id, 1), Position(0, 0)), 7) for id in ids[9:]])
    for key in (backwards, None, backwards, lambda id: id[1:].encode() + id.encode()):
        file.key_by(key)
        cuts = file.boundaries("product", 6)
        assert len(cuts) == 3
        parts = [file.between("product", *limits) for limits in zip([b"", *cuts], [*cuts, None], strict=True)]
        found = [row.expected.id for part in parts for _, row in part]
        assert found == sorted(ids, key=key or str.encode)


def test_numbers_are_equal_in_every_notation_and_nothing_else_is() -> None:
    assert same({"a": [100.0, {"b": 0.1}]}, {"a": [100, {"b": 0.1 + 1e-17}]})
    assert not same({"a": 1}, {"a": True})
    assert not same({"a": 1}, {"a": "1"})
    assert not same({"a": 1, "b": None}, {"a": 1})
    assert not same([1.0], [1.0000001])


def read(file: FoldFile) -> dict[tuple[str, str], Expected]:
    rows = file.between("product", b"", None)
    return {("product", row.expected.id): row.expected for _, row in rows}
