"""The change that a row of a file asks for."""

import json
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_cli.files.formats import rows
from headrace_cli.files.row_change import change_of, version_of
from headrace_demo.catalogue.keywords import keywords
from headrace_demo.catalogue.products import products
from headrace_schemas.changes import CHANGES

_NOW = datetime(2025, 6, 1, 8, 30, tzinfo=UTC)


def test_a_row_becomes_an_upsert_of_now_without_its_unknown_columns():
    row = {"product_id": "p-1", "title": "Desk", "version": 3, "warehouse": "east", "brand": None}
    assert change_of(row, "product", now=_NOW) == {
        "op": "upsert",
        "product_id": "p-1",
        "title": "Desk",
        "brand": None,
        "version": 3,
        "occurred_at": "2025-06-01T08:30:00.000000+00:00",
    }


def test_a_row_may_have_its_own_operation_and_time():
    row = {"op": "delete", "keyword_id": "k", "text": "gone", "version": "4", "occurred_at": "2025-01-01T00:00:00Z"}
    expected = {"op": "delete", "keyword_id": "k", "version": 4, "occurred_at": "2025-01-01T00:00:00Z"}
    assert change_of(row, "keyword", now=_NOW) == expected


def test_a_list_of_ids_is_deleted_with_the_version_given_for_all():
    change = change_of({"product_id": "p-1"}, "product", now=_NOW, delete=True, default_version=9)
    assert (change["op"], change["version"]) == ("delete", 9)
    own = change_of({"product_id": "p-1", "version": 5}, "product", now=_NOW, delete=True, default_version=9)
    assert own["version"] == 5


def test_a_row_without_a_version_is_refused_and_the_error_names_the_option():
    for row in ({"product_id": "p-1"}, {"product_id": "p-1", "updated": None}):
        with pytest.raises(ValueError, match=r"has no updated: .*--version-field"):
            change_of(row, "product", now=_NOW, version_field="updated")


@pytest.mark.parametrize(
    ("value", "version"),
    [
        (7, 7),
        (2**63 - 1, 2**63 - 1),
        ("9223372036854775807", 2**63 - 1),
        (1735689600000000.0, 1735689600000000),
        (1.0, 1),
        ("1.0", 1),
        ("1772400000.0", 1772400000),
        ("1.7724E+15", 1772400000000000),
        ("+3", 3),
        ("007", 7),
        ("9007199254740991.0", 2**53 - 1),
        ("2025-01-01T00:00:00.000001Z", 1735689600000001),
        ("2025-01-01T09:00:00+09:00", 1735689600000000),
        ("2025-01-01 00:00:00", 1735689600000000),
        ("2025-01-01", 1735689600000000),
    ],
)
def test_a_version_is_a_whole_number_or_a_time_in_microseconds(value, version):
    assert version_of(value) == version


def test_a_time_without_a_zone_is_utc_wherever_the_program_runs(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Seoul")
    time.tzset()
    try:
        assert version_of("2025-01-01 00:00:00") == 1735689600000000
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("value", [2.0**60, 2.0**53, "9007199254740993.0", "1e18"])
def test_a_float_that_may_be_rounded_is_not_a_version(value):
    with pytest.raises(ValueError, match=r"may be rounded.* integer"):
        version_of(value)


@pytest.mark.parametrize(
    "value",
    [
        True, 2.5, "2.5", float("nan"), float("inf"), "seven", "1_000", "1_000.0", "", " 1", "٣", "1٣", "1,000", [],
        "9" * 5000, "1e400",
    ],
)  # fmt: skip
def test_a_value_that_is_neither_a_whole_number_nor_a_time_is_not_a_version(value):
    with pytest.raises(ValueError, match="neither a whole number nor a time"):
        version_of(value)


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_times_keep_their_order_as_versions(one, other):
    assert (one < other) == (version_of(one.isoformat()) < version_of(other.isoformat()))


def test_texts_of_a_csv_become_numbers_and_an_object():
    row = {"product_id": "7", "title": "x", "price": "12.90", "attributes": '{"size": [1, 2]}', "version": "1"}
    change = change_of(row, "product", now=_NOW)
    assert (change["price"], change["attributes"]) == (12.9, {"size": [1, 2]})


@pytest.mark.parametrize("id", [12, 12.0])
def test_an_id_that_is_a_whole_number_becomes_its_digits(id):
    assert change_of({"keyword_id": id, "version": 1}, "keyword", now=_NOW)["keyword_id"] == "12"


@pytest.mark.parametrize("id", [12.5, 2.0**53, float("nan"), float("inf")])
def test_an_id_that_may_be_rounded_is_refused(id):
    with pytest.raises(ValueError, match="neither text nor a whole number"):
        change_of({"keyword_id": id, "version": 1}, "keyword", now=_NOW)


@pytest.mark.parametrize(
    "value",
    [
        "on request", "19,99", "19.99 EUR", "1_000", "١٢", "1.000,00", "true", "NaN", "inf", " 1", True, False,
        float("inf"), "1e400", "9" * 400, [1], {"amount": 1},
    ],
)  # fmt: skip
def test_a_price_that_is_no_number_is_refused_with_its_value(value):
    with pytest.raises(ValueError, match="has a price that is not a number: ") as refusal:
        change_of({"product_id": "p", "version": 1, "price": value}, "product", now=_NOW)
    assert repr(value)[:20] in str(refusal.value)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize("text", ["[1]", "{", '{"a": NaN}', "١"])
def test_attributes_that_are_no_json_object_are_refused(text):
    with pytest.raises(ValueError, match="not a JSON object"):
        change_of({"product_id": "p", "version": 1, "attributes": text}, "product", now=_NOW)


def test_a_generated_catalogue_can_be_published_from_its_files(tmp_path):
    for kind, made in (("product", products(7, 50)), ("keyword", keywords(7, 50))):
        path = tmp_path / f"{kind}.jsonl"
        kept = list(made)
        path.write_text("".join(json.dumps(row) + "\n" for row in kept))
        for row, expected in zip(rows(path), kept, strict=True):
            change = change_of(row.fields, kind, now=_NOW)
            assert change.items() >= expected.items()
            assert CHANGES[kind].model_validate_json(json.dumps(change)).occurred_at == _NOW
