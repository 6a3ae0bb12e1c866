"""The limits of ids, texts, versions, numbers and attributes: a value that one store refuses is invalid for all."""

import json
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from headrace_schemas.changes import CHANGES
from headrace_schemas.fields import MAX_DEPTH, MAX_VERSION, Attributes, EntityId, Kind, Number, Text, Version

ids = TypeAdapter[str](EntityId)
texts = TypeAdapter[str](Text)
versions = TypeAdapter[int](Version)
numbers = TypeAdapter[float](Number)
attributes = TypeAdapter[dict[str, Any]](Attributes)


def refused(adapter: TypeAdapter[Any], value: object) -> str:
    """The message of the validation error. Fails if the value is valid."""
    with pytest.raises(ValidationError) as caught:
        adapter.validate_python(value)
    return str(caught.value)


def nested(levels: int, leaf: object = 1) -> Any:
    value: Any = {"a": leaf}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize("entity_id", ["p", "p" * 512, "가" * 170 + "pp", " ", "a/b:c?#%", "\u2028"])
def test_an_id_of_1_to_512_bytes_is_valid_and_unchanged(entity_id: str) -> None:
    assert ids.validate_python(entity_id) == entity_id


@pytest.mark.parametrize("entity_id", ["", "p" * 513, "가" * 171])
def test_the_length_of_an_id_is_counted_in_bytes(entity_id: str) -> None:
    assert f"this one has {len(entity_id.encode())}" in refused(ids, entity_id)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=600))
def test_an_id_is_valid_exactly_if_its_bytes_are_few_enough(entity_id: str) -> None:
    if 1 <= len(entity_id.encode()) <= 512:
        assert ids.validate_json(json.dumps(entity_id)) == entity_id
    else:
        refused(ids, entity_id)


@pytest.mark.parametrize("entity_id", [1, True, 1.5, None])
def test_a_number_is_not_an_id(entity_id: object) -> None:
    refused(ids, entity_id)


@pytest.mark.parametrize("adapter", [ids, texts])
def test_text_that_postgresql_cannot_store_is_refused(adapter: TypeAdapter[Any]) -> None:
    assert "U+0000" in refused(adapter, "before\x00after")


@pytest.mark.parametrize("adapter", [ids, texts])
def test_half_of_a_surrogate_pair_is_refused(adapter: TypeAdapter[Any]) -> None:
    refused(adapter, "lone \ud800 half")
    with pytest.raises(ValidationError):
        adapter.validate_json(b'"lone \\udc00 half"')


def test_a_whole_surrogate_pair_in_json_is_text() -> None:
    assert texts.validate_json(b'"\\ud83d\\ude00"') == "\U0001f600"


@pytest.mark.parametrize("character", ["x", "보", "\U0001f600"])
@pytest.mark.parametrize(("kind", "field", "longest"), [("product", "title", 10_000), ("keyword", "text", 1000)])
def test_a_title_and_a_keyword_have_a_longest_length_in_characters(
    kind: Kind, field: str, longest: int, character: str
) -> None:
    row = {"op": "upsert", f"{kind}_id": "a", "version": 1, "occurred_at": "2026-03-01T09:30:00Z"}
    CHANGES[kind].model_validate(row | {field: character * longest})
    with pytest.raises(ValidationError) as caught:
        CHANGES[kind].model_validate(row | {field: character * (longest + 1)})
    assert f"{field}\n  String should have at most {longest} characters" in str(caught.value)


def test_a_description_may_fill_the_record() -> None:
    row = {"op": "upsert", "product_id": "a", "version": 1, "occurred_at": "2026-03-01T09:30:00Z", "title": "a"}
    CHANGES["product"].model_validate(row | {"description": "x" * 1_000_000, "brand": "x" * 40_000})


@pytest.mark.parametrize("version", [1, 2**53 + 1, MAX_VERSION])
def test_a_valid_version_does_not_change(version: int) -> None:
    assert versions.validate_json(str(version)) == version


@pytest.mark.parametrize("version", ["0", "-1", str(2**63), "9" * 5000, "true", "1.0", "1e3", '"1"', "null", "NaN"])
def test_a_version_is_an_integer_from_1_to_2_to_the_63_minus_1(version: str) -> None:
    with pytest.raises(ValidationError):
        versions.validate_json(version)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", '"many"', "9" * 5000])
def test_a_number_is_finite(number: str) -> None:
    with pytest.raises(ValidationError):
        numbers.validate_json(number)


def test_attributes_may_be_nested_20_levels_deep() -> None:
    assert attributes.validate_python(nested(MAX_DEPTH - 1)) == nested(MAX_DEPTH - 1)
    assert "nested deeper" in refused(attributes, nested(MAX_DEPTH + 1))
    lists: Any = 1
    for _ in range(MAX_DEPTH + 1):
        lists = [lists]
    assert "nested deeper" in refused(attributes, {"a": lists})


@pytest.mark.parametrize("key", ["", "k" * 513, "가" * 171, "nul\x00", "half \ud800"])
@pytest.mark.parametrize("wrap", [lambda key: {key: 1}, lambda key: {"list": [{"inner": {key: 1}}]}])
def test_a_key_of_attributes_is_storable_at_any_depth(key: str, wrap: Any) -> None:
    refused(attributes, wrap(key))


@pytest.mark.parametrize("leaf", [2**63, -(2**63) - 1, float("nan"), float("inf"), "nul\x00", "half \ud800"])
@pytest.mark.parametrize("wrap", [lambda leaf: {"a": leaf}, lambda leaf: {"a": [{"b": [1, leaf]}]}])
def test_a_value_of_attributes_is_storable_at_any_depth(leaf: object, wrap: Any) -> None:
    refused(attributes, wrap(leaf))


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-(2**63), 2**63 - 1)
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(st.characters(codec="utf-8", exclude_characters="\x00")),
            lambda children: st.lists(children, max_size=3) | st.dictionaries(st.just("k"), children, max_size=1),
            max_leaves=10,
        ),
        max_size=5,
    ).filter(lambda value: _depth(value) < MAX_DEPTH)
)
def test_storable_attributes_do_not_change_in_json(value: dict[str, Any]) -> None:
    assert attributes.validate_json(json.dumps(value)) == value


def _depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


@pytest.mark.parametrize(
    ("json_number", "number"),
    [
        ("19.99", 19.99), ("20", 20.0), ("-1", -1.0), ("1e3", 1000.0), ('"19.99"', 19.99), ('"+20"', 20.0),
        ('"-0.5e-3"', -0.0005), ('"007"', 7.0), ('"2E2"', 200.0), ('".5"', 0.5),
        ('"5."', 5.0),
    ],
)  # fmt: skip
def test_a_number_is_a_json_number_or_an_ascii_decimal(json_number: str, number: float) -> None:
    assert numbers.validate_json(json_number) == number


@pytest.mark.parametrize(
    "text",
    [
        "true", "false", '"true"', '"1_000"', '"1_0.5"', '"١٢"', '"１２"', '"19,99"', '"19.99 EUR"', '"1 000"', '""',
        '" 1"', '"1 "', '"1\\n"', '"0x10"', '"."', '"1.5.2"', '"1e"', '"e5"', '"--1"', '"+"', '"NaN"', '"inf"',
        '"-Infinity"', '"1e400"', "1e400", "NaN", "Infinity", "[1]", "{}", '"½"', '"1\u00a0"',
    ],
)  # fmt: skip
def test_nothing_else_is_a_number(text: str) -> None:
    with pytest.raises(ValidationError):
        numbers.validate_json(text)


@pytest.mark.parametrize("digits", ["1" * 20_000, "0." + "1" * 20_000, "." + "1" * 20_000, "1e" + "1" * 20_000])
def test_a_long_text_that_is_almost_a_number_is_refused_at_once(digits: str) -> None:
    started = time.process_time()
    refused(numbers, digits + "x")
    assert time.process_time() - started < 0.5


@given(st.text(st.characters(categories=["Nd", "Pc", "Po", "Zs", "Pd"]), max_size=8))
def test_a_text_of_digits_is_a_number_exactly_if_it_is_ascii_decimal(text: str) -> None:
    if re.fullmatch(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)", text):
        assert numbers.validate_python(text) == float(text)
    else:
        refused(numbers, text)
