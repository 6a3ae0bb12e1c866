"""A record of an older schema major, live or replayed, is converted to the current major, whatever it contains."""

import json
from typing import Any, ClassVar

import pytest
from harness.kafka_record import REPLAY_TOPIC, TOPIC, kafka_record
from harness.records import product
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_runtime.decoder import Decoded, Decoder, NewerSchema, Undecoded
from headrace_schemas import headers
from headrace_schemas.changes import ProductChange
from headrace_schemas.upcasts import UPCASTS, NoUpcast, upgraded

FROM_SOURCE = (headers.CONNECT_TOPIC, TOPIC.encode())


class PricedProduct(ProductChange):
    """Major 3 of a product: the price moved into an object in major 2, and the brand must be named since major 3."""

    schema_major: ClassVar[int] = 3
    field_names: ClassVar[tuple[str, ...]] = (*ProductChange.field_names, "cost")

    cost: dict[str, Any]
    brand: str


def with_cost(record: dict[str, Any]) -> dict[str, Any]:
    return record | {"cost": {"amount": record["price"], "currency": record.get("currency")}}


def with_brand(record: dict[str, Any]) -> dict[str, Any]:
    return {"brand": "unbranded"} | record


@pytest.fixture(autouse=True)
def steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(UPCASTS, ("product-change", 1), with_cost)
    monkeypatch.setitem(UPCASTS, ("product-change", 2), with_brand)


decoder = Decoder({TOPIC: PricedProduct}, REPLAY_TOPIC)


def schema(major: int) -> tuple[str, bytes]:
    return headers.SCHEMA, f"product-change/{major}".encode()


def change(record: Any) -> Any:
    decoded = decoder.decode(record)
    assert isinstance(decoded, Decoded), decoded
    return decoded.change


def dead(record: Any) -> tuple[str, tuple[str, ...]]:
    decoded = decoder.decode(record)
    assert isinstance(decoded, Undecoded), decoded
    return decoded.rejection.reason, decoded.rejection.cause


@pytest.mark.parametrize("topic", [TOPIC, REPLAY_TOPIC])
def test_an_older_major_goes_through_every_step(topic: str) -> None:
    record = kafka_record(product("p1", 7, price=12.5, currency="EUR"), topic=topic, headers=[schema(1), FROM_SOURCE])
    newest = change(record)
    assert (newest.id, newest.version) == ("p1", 7)
    assert newest.cost == {"amount": 12.5, "currency": "EUR"}
    assert newest.brand == "unbranded"


def test_a_middle_major_goes_through_the_remaining_steps() -> None:
    record = kafka_record(product("p1", 7, cost={"amount": 1}), headers=[schema(2)])
    assert change(record).cost == {"amount": 1}
    assert change(record).brand == "unbranded"


def test_the_current_major_goes_through_no_step() -> None:
    record = kafka_record(product("p1", 7, price=3.0, cost={"amount": 1}, brand="Kettle"), headers=[schema(3)])
    assert change(record).cost == {"amount": 1}


def test_a_record_without_a_schema_header_has_the_first_major() -> None:
    assert change(kafka_record(product("p1", 7, price=3.0))).cost == {"amount": 3.0, "currency": None}


def test_a_null_is_a_delete_in_every_major() -> None:
    record = kafka_record(None, b"p1", headers=[(headers.VERSION, b"3"), schema(1)])
    decoded = Decoder({TOPIC: ProductChange}, REPLAY_TOPIC).decode(record)
    assert isinstance(decoded, Decoded)


def test_a_newer_major_than_the_models_still_holds_the_worker() -> None:
    with pytest.raises(NewerSchema, match="reads product-change/3"):
        decoder.decode(kafka_record(product("p1", 7), headers=[schema(4)]))


def test_a_missing_step_is_a_dead_letter_that_names_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(UPCASTS, ("product-change", 2))
    record = kafka_record(product("p1", 7, price=3.0), headers=[schema(1)])
    assert dead(record) == ("unknown_schema", ("older", "product-change/2"))
    with pytest.raises(NoUpcast, match="from product-change/2 to product-change/3"):
        upgraded("product-change", {}, 2, 3)


def test_a_record_that_violates_the_schema_of_its_major_is_a_dead_letter() -> None:
    record = kafka_record(product("p1", 7), headers=[schema(1)])
    assert dead(record) == ("invalid", ("upcast", "product-change/1", "KeyError"))


@pytest.mark.parametrize("value", [b"{nope", b"", b'{"title": "\\ud800"}'])
def test_a_value_that_is_not_json_is_a_dead_letter_in_any_major(value: bytes) -> None:
    assert dead(kafka_record(value, b"p1", headers=[schema(1)]))[0] == "not_json"


@pytest.mark.parametrize("value", [b"[]", b"1", b'"x"', b"null"])
def test_json_that_is_not_an_object_is_rejected_by_the_model(value: bytes) -> None:
    assert dead(kafka_record(value, b"p1", headers=[schema(1)])) == ("invalid", ("model_type", ""))


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["price", "currency", "version", "attributes", "brand", "cost"]), JSON))
@settings(max_examples=200, deadline=None)
def test_any_older_record_is_a_change_or_a_dead_letter(fields: dict[str, Any]) -> None:
    record = kafka_record(json.dumps(product("p1", 1) | fields).encode(), b"p1", headers=[schema(1)])
    UPCASTS["product-change", 1], UPCASTS["product-change", 2] = with_cost, with_brand
    assert isinstance(decoder.decode(record), Decoded | Undecoded)
