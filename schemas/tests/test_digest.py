"""The digest of a change: the same for a redelivery, another for other content, and the same in every release."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from headrace_schemas.changes import KeywordChange, ProductChange
from headrace_schemas.digest import content_json, differ, digest_of
from headrace_schemas.embedded import EmbeddedProduct
from headrace_schemas.links import ProductLinks

FULL = {
    "op": "upsert", "product_id": "p-1", "version": 7, "occurred_at": "2026-01-01T00:00:00Z",
    "title": "Lámpara 電灯 😀", "description": "a \"quoted\" text\n\u2028", "brand": "b",
    "category": "c", "price": 19.99, "currency": "EUR",
    "attributes": {"b": [1, 2.5, None, {"z": 1e-7, "a": 1e16}], "a": True}, "locale": "es",
}  # fmt: skip
KEYWORD = {"op": "upsert", "keyword_id": "k-1", "version": 7, "occurred_at": "2026-01-01T00:00:00Z", "text": "lamp"}


def product(**fields: Any) -> ProductChange:
    return ProductChange.model_validate_json(json.dumps(FULL | fields))


def test_the_digests_of_a_form_stay_as_they_are() -> None:
    """Stores contain them. A release that hashes something else takes the next form."""
    assert digest_of(product()) == "1:7:28ca90e41de0af96e1f0d60f8e5a5ff05c2e57b36b071e75b9900e2802dc70ce"
    assert digest_of(product(op="delete")) == "1:7:a444d2e7d1adef2e2a958a96f25d3b25ff8711c7fdc0fd92f88d50bf6949e3a9"
    assert (
        digest_of(KeywordChange.model_validate(KEYWORD))
        == "1:7:da13933d4753bc8f629388b7e76745ab40f038ed6a63fb9c37f6f1a0489e2cd6"
    )


@pytest.mark.parametrize(
    "same",
    [
        {"occurred_at": "2027-12-31T23:59:59+02:00"},
        {"warehouse": "unknown field"},
        {"attributes": {"a": True, "b": [1, 2.5, None, {"a": 1e16, "z": 1e-7}]}},
    ],
)
def test_what_no_store_keeps_does_not_change_the_digest(same: dict[str, Any]) -> None:
    assert digest_of(product(**same)) == digest_of(product())


@pytest.mark.parametrize(
    "other",
    [
        {"op": "delete"},
        *({name: None} for name in ("description", "brand", "category", "price", "currency", "attributes", "locale")),
        {"title": "Lámpara 電灯 😀 "},
        {"price": 19.990000000000002},
        {"currency": "b", "brand": "EUR"},
        {"attributes": {"b": [2.5, 1, None, {"z": 1e-7, "a": 1e16}], "a": True}},
        {"attributes": {"b": [1.0, 2.5, None, {"z": 1e-7, "a": 1e16}], "a": True}},
        {"attributes": {"b": [1, 2.5, None, {"z": 1e-7, "a": 1e16}], "a": 1}},
        {"attributes": {}},
    ],
)
def test_other_content_has_another_digest(other: dict[str, Any]) -> None:
    assert differ(digest_of(product()), digest_of(product(**other)))


def test_null_is_absent_and_an_integral_price_is_one_number() -> None:
    bare = {name: value for name, value in FULL.items() if name not in ("brand", "price")}
    parsed = ProductChange.model_validate(bare)
    assert digest_of(parsed) == digest_of(product(brand=None, price=None))
    assert digest_of(product(price=20)) == digest_of(product(price=20.0)) == digest_of(product(price="2e1"))


def test_a_delete_is_the_same_with_and_without_a_value() -> None:
    null = ProductChange(op="delete", product_id="p-1", version=7, occurred_at=datetime.now(UTC))
    assert digest_of(null) == digest_of(product(op="delete"))


def test_an_embedded_record_carries_its_digest_and_other_records_have_none() -> None:
    carried = EmbeddedProduct.model_validate(FULL | {"op": "delete", "digest": "9:7:text-of-a-later-form"})
    assert digest_of(carried) == "9:7:text-of-a-later-form"
    assert digest_of(carried.model_copy(update={"digest": None})) is None
    assert digest_of(ProductLinks(product_id="p-1", version=1, title="Lamp")) is None


def test_only_digests_of_one_form_and_version_differ() -> None:
    assert differ("1:7:a", "1:7:b")
    assert differ("1:7:b", "1:7:a")
    for one, other in (("1:7:a", "1:7:a"), ("1:7:a", "2:7:b"), ("1:7:a", "1:6:b"), (None, "1:7:a"), ("1:7:a", None)):
        assert not differ(one, other)
    assert not differ(None, None)


texts = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner),
    max_leaves=8,
)


def in_order(value: Any) -> Any:
    """The value with the keys of every object in the order of their code points."""
    if isinstance(value, dict):
        return {key: in_order(value[key]) for key in sorted(value)}
    return [in_order(one) for one in value] if isinstance(value, list) else value


@given(texts, st.floats(allow_nan=False, allow_infinity=False), values)
@settings(max_examples=200)
def test_the_canonical_form_is_the_one_that_pydantic_writes(title: str, price: float, value: Any) -> None:
    """Stores contain the digests of what pydantic wrote."""
    change = ProductChange.model_construct(
        op="upsert",
        version=1,
        occurred_at=datetime.now(UTC),
        product_id="p",
        title=title,
        price=price,
        attributes={"b": value, "a": 1},
    )
    form = {"product_id": "p", "title": title, "price": price, "attributes": in_order({"b": value, "a": 1})}
    assert content_json(change) == to_json(form)
    assert digest_of(change) == f"1:1:{sha256(to_json({'op': 'upsert'} | form)).hexdigest()}"
