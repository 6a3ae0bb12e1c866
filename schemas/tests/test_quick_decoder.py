"""What a quick decoder accepts, the record's model accepts with equal values; and it accepts every ordinary record."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from headrace_schemas.changes import KeywordChange, ProductChange
from headrace_schemas.embedded import EmbeddedKeyword, EmbeddedProduct
from headrace_schemas.fields import Version
from headrace_schemas.quick_decoder import QuickDecoder

MODELS = (ProductChange, KeywordChange, EmbeddedProduct, EmbeddedKeyword)
QUICK = {model: QuickDecoder(model) for model in MODELS}
CHANGE = {"op": "upsert", "version": 3, "occurred_at": "2026-03-01T09:30:00Z"}
PRODUCT = CHANGE | {
    "product_id": "p1", "title": "Steel bottle", "description": "0.75 l", "brand": "Kettle", "category": "Kitchen",
    "price": 19.99, "currency": "EUR", "attributes": {"colour": "red", "sizes": [1, 2.5]}, "locale": "en",
}  # fmt: skip
KEYWORD = CHANGE | {"keyword_id": "k1", "text": "flask", "locale": "en", "popularity": 7}
EMBEDDING = {"model": "m1", "content_hash": "a" * 64, "vector": base64.b64encode(b"\x00\x00\x80?" * 4).decode()}
EXAMPLES: dict[type[BaseModel], dict[str, Any]] = {
    ProductChange: PRODUCT,
    KeywordChange: KEYWORD,
    EmbeddedProduct: PRODUCT | {"embedding": EMBEDDING, "digest": f"1:3:{'b' * 64}"},
    EmbeddedKeyword: KEYWORD | {"embedding": EMBEDDING, "digest": f"1:3:{'b' * 64}"},
}


def nested(opening: str, content: str, closing: str) -> list[str]:
    return [opening * depth + content + closing * depth for depth in (17, 18, 19, 20, 21, 60, 101, 190, 199, 200, 300)]


NUMBERS = [
    "0", "-0", "1", "-1", "1.0", "0.1", "1e3", "1E+3", "-0.0", "1e-400", "1e400", "-1e400", "NaN", "Infinity",
    "-Infinity", "01", "1.", ".5", "+1", "0x1", "1_000", "5e-324", "1.7976931348623157e308", "9007199254740993",
    "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
    "18446744073709551615", "18446744073709551616", "9.3e18", "1e16", "123456789012345678901234567890",
    "0.1000000000000000055511151231257827", "9" * 400, "9" * 5000, "0." + "1" * 400,
]  # fmt: skip
TEXTS_OF_NUMBERS = [json.dumps(text, ensure_ascii=False) for text in (
    "1", "19.99", "-1", "+1", "1e3", ".5", "5.", "1_000", " 1", "1 ", "1\n", "", "٣", "１", "1,5", "0x1", "nan", "NaN",
    "inf", "1e400", "1e-400", "9" * 400, "true", "null", "123456789012345678901234567890",
)]  # fmt: skip
TIMES = [json.dumps(text) for text in (
    "2026-03-01T09:30:00+00:00", "2026-03-01T09:30:00.123456789Z", "2026-03-01T09:30:00.1234567890Z",
    "2026-03-01T09:30:00,5Z", "2026-03-01t09:30:00z", "2026-03-01 09:30:00Z", "2026-03-01_09:30:00Z",
    "2026-03-01T09:30Z", "2026-03-01T09:30:00", "2026-03-01", "20260301T093000Z", "2026-W09-7T09:30:00Z",
    "2026-03-01T24:00:00Z", "2026-03-01T23:59:60Z", "2026-02-29T00:00:00Z", "0000-01-01T00:00:00Z",
    "2026-03-01T09:30:00+05:75", "2026-03-01T09:30:00-23:59", "2026-03-01T09:30:00+24:00", "2026-03-01T09:30:00+0900",
    "2026-03-01T09:30:00−09:00", "9999-12-31T23:59:59.999999-12:00", "1772357400", "1772357400.5", "now",
)]  # fmt: skip
TEXTS = [
    '""', '" "', '"a"', '"가방"', '"\\uac00"', '"\\ud83d\\ude00"', '"\\ud83d"', '"\\ude00"', '"\\ud83d\\ud83d"',
    '"\\u0000"', '"\\\\u0000"', '"a\\u0000b"', '"\\u00e9"', '"\\x"', '"\\u12"', '"a\tb"', '"a\\tb"', '"\x7f"', '"a',
    "'a'", '"\u2028"', '"1:3:x"', '"1:3:x\\n"', '"upsert"', '"delete"', '"UPSERT"',
    *(json.dumps("t" * size) for size in (1000, 1001, 10_000, 10_001)),
    *(json.dumps("é" * size, ensure_ascii=False) for size in (256, 257, 1000, 1001, 10_000, 10_001)),
    *(json.dumps("i" * size) for size in (512, 513)), json.dumps("😀" * 128), json.dumps("😀" * 129),
    json.dumps("b" * 64), json.dumps("b" * 63 + "\n"),
]  # fmt: skip
OBJECTS = [
    "{}", "[]", "[[]]", '{"a":1}', '{"a":1,"a":true}', '{"":1}', '{"a":{"":1}}', '{"a":[{"":1}]}',
    '{"a":null,"b":[null,true]}', '{"a":"\\u0000"}', '{"\\u0000":1}', '{"a":[NaN]}', '{"a":1e400}',
    '{"a":9223372036854775808}', '{"a":[-9223372036854775809]}', '{"a":18446744073709551616}', '{"a":1e300}',
    '{"a":"\\ud83d"}', '{"b":1,"a":-0.0}',
    *(json.dumps({"k" * size: 1}) for size in (128, 129, 512, 513)),
    *(json.dumps({"é" * size: 1}, ensure_ascii=False) for size in (256, 257)),
    json.dumps(EMBEDDING | {"content_hash": "A" * 64, "more": [1]}), json.dumps(EMBEDDING),
    *(json.dumps(EMBEDDING | {"model": model}) for model in (None, 1, "")),
    *(json.dumps(EMBEDDING | {"vector": vector}) for vector in (
        "AAA=", "AACAPw", "AACA Pw==", "", "AACAPx==", "AA=APw==", "AACAPé==", "AACAPw==\n", "AACAPw==AACAPw==",
        "====", "_ACAPw==", "AACAPw===", [0.5], None,
    )),
]  # fmt: skip
DEEP = nested("[", "", "]") + nested("[", "1", "]") + nested('{"a":', "{}", "}") + nested('{"a":[', "1", "]}")
OTHERS = ["null", "true", "false", "nul", ""]
FRAGMENTS = NUMBERS + TEXTS_OF_NUMBERS + TIMES + TEXTS + OBJECTS + DEEP + OTHERS


def json_of(fields: list[tuple[str, str]]) -> bytes:
    """An object of JSON texts; a name may come twice."""
    return ("{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in fields) + "}").encode(
        errors="surrogatepass"
    )


def agrees(model: type[BaseModel], value: bytes) -> bool:
    """Whether the quick decoder accepts the value. Fails if the model refuses it, or makes something else of it."""
    quick = QUICK[model](value)
    if quick is None:
        return False
    try:
        slow = model.model_validate_json(value)
    except ValidationError as error:
        raise AssertionError(f"the model refuses {value[:300]!r}") from error
    assert quick == slow, value
    # Equal numbers may differ in type or sign, and the order decides how a record is written.
    assert repr(quick) == repr(slow), value
    assert quick.model_dump_json() == slow.model_dump_json(), value
    return True


@pytest.mark.parametrize("model", MODELS)
def test_each_field_with_each_kind_of_json(model: type[BaseModel]) -> None:
    texts = {name: json.dumps(of_field) for name, of_field in EXAMPLES[model].items()}
    for name in (*model.model_fields, "unknown"):
        for fragment in FRAGMENTS:
            agrees(model, json_of(list((texts | {name: fragment}).items())))
            agrees(model, json_of([*texts.items(), (name, fragment)]))
            agrees(model, json_of([(name, fragment), *texts.items()]))
        agrees(model, json_of([(other, text) for other, text in texts.items() if other != name]))


def changed(value: bytes, at: float, removed: int, added: bytes) -> bytes:
    """The value with some bytes replaced. `at`: a share of its length."""
    place = int(at * len(value))
    return value[:place] + added + value[place + removed :]


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
).map(json.dumps)
names = st.sampled_from(sorted({name for model in MODELS for name in model.model_fields})) | st.text(max_size=3)
more_fields = st.lists(st.tuples(names, st.sampled_from(FRAGMENTS) | json_values), max_size=3)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(MODELS), more_fields, st.floats(0, 1), st.integers(0, 2), st.just(b"") | st.binary(max_size=3))
def test_any_json_and_any_bytes(
    model: type[BaseModel], more: list[tuple[str, str]], at: float, removed: int, added: bytes
) -> None:
    value = json_of([(name, json.dumps(of_field)) for name, of_field in EXAMPLES[model].items()] + more)
    agrees(model, value)
    agrees(model, changed(value, at, removed, added))


@pytest.mark.parametrize("model", MODELS)
def test_invalid_utf8_is_left_to_the_model_wherever_it_is(model: type[BaseModel]) -> None:
    for name in (*EXAMPLES[model], "unknown"):
        for broken in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80"):
            value = json.dumps(EXAMPLES[model] | {name: "@"}).encode().replace(b"@", broken)
            assert not agrees(model, value)
            assert not agrees(model, value.replace(f'"{name}"'.encode(), b'"' + broken + b'"'))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"op": "delete", "title": None},
        {"title": "가방", "description": None, "attributes": None, "price": None},
        {"price": 20},
        {"price": "20.5"},
        {"occurred_at": "2026-03-01T09:30:00.123+09:00"},
        {"attributes": {"a": {"b": [1, {"c": None}]}, "d": True}},
        {"warehouse": {"stock": [1, 2, 3]}, "supplier": "x"},
    ],
)
def test_ordinary_records_are_decoded_quickly(fields: dict[str, Any]) -> None:
    for ascii_only in (True, False):
        assert agrees(ProductChange, json.dumps(PRODUCT | fields, ensure_ascii=ascii_only).encode())
    row = {name: of_field for name, of_field in PRODUCT.items() if name not in ("locale", "attributes")} | fields
    assert agrees(ProductChange, json.dumps(row).encode())


@pytest.mark.parametrize("model", MODELS)
def test_records_of_every_model_are_decoded_quickly(model: type[BaseModel]) -> None:
    assert agrees(model, json.dumps(EXAMPLES[model]).encode())


class Aliased(BaseModel):
    model_config = ConfigDict(extra="ignore")
    version: Version = Field(alias="v")


class Keeping(BaseModel):
    model_config = ConfigDict(extra="allow")


class Rewriting(BaseModel):
    model_config = ConfigDict(extra="ignore")
    version: Version

    @field_validator("version")
    @classmethod
    def _next(cls, version: int) -> int:
        return version + 1


@pytest.mark.parametrize("model", [Aliased, Keeping, Rewriting])
def test_a_model_that_it_cannot_follow_is_refused_when_it_is_made(model: type[BaseModel]) -> None:
    with pytest.raises(TypeError, match=model.__name__):
        QuickDecoder(model)


class Limited(BaseModel):
    model_config = ConfigDict(extra="ignore")
    version: Version = Field(default=5, multiple_of=5)


def test_a_limit_beside_the_type_counts() -> None:
    assert QuickDecoder(Limited)(b'{"version": 10}') == Limited(version=10)
    assert QuickDecoder(Limited)(b"{}") == Limited()
    assert QuickDecoder(Limited)(b'{"version": 6}') is None
