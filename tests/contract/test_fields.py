"""Every store has the values that were published."""

from collections.abc import Callable
from typing import Any

from harness.sinks import Sink, outcomes_of

from headrace_schemas.fields import Kind
from headrace_worker.stage import Applied, Stage
from headrace_worker.store import Query, Store

NewId = Callable[[str], str]
TEXTS = {
    "english": "Stainless steel bottle, 0.75 l; keeps tea hot — 12 hours (100 % \"leak-proof\")",
    "korean": "스테인리스 보온병 750ml",
    "japanese": "ステンレスボトル　保温１２時間㈱",
    "arabic": "زجاجة فولاذية",
    "emoji": "bottle 🍼🏳️‍🌈 and a flag 🇰🇷",
    "combining": "e\u0301clair / Å",
    "whitespace": "  spaces\tand\r\nlines\u2028here\u00a0",
    "controls": "\x01\x1f\x7f\u200f\ufeff",
    "markup": "<b>&amp;</b> {{x}} ${y} %s \\n",
}  # fmt: skip
ATTRIBUTES: dict[str, Any] = {
    "colour": "blue",
    "sizes": [1, 2, 3],
    "weight": 0.1,
    "tiny": 5e-324,
    "count": 2**53 + 1,
    "largest": 2**63 - 1,
    "smallest": -(2**63),
    "vegan": False,
    "unknown": None,
    "empty": [],
    "nested": {"a": {"b": [{"c": "깊다"}]}, "with.dot": 1, "with space": " ", "empty": ""},
    "mixed": [1, "one", 1.5, True, None, {"x": 1}],
    "long": "x" * 40_000,
}


async def test_every_field_of_a_product_is_kept(sink: Sink, stage: Stage[Any], store: Store, new_id: NewId) -> None:
    change = sink.upsert(
        "product", new_id("a"), 1, text="Steel bottle", description="Keeps tea hot", brand="Kettle & Söhne",
        category="kitchen/bottles", price=19.99, currency="EUR", attributes=ATTRIBUTES, locale="de-DE",
    )  # fmt: skip
    await check_kept(sink, stage, store, "product", [change])


async def test_every_field_of_a_keyword_is_kept(sink: Sink, stage: Stage[Any], store: Store, new_id: NewId) -> None:
    change = sink.upsert("keyword", new_id("a"), 1, text="보온병", locale="ko", popularity=0.3)
    await check_kept(sink, stage, store, "keyword", [change])


async def test_null_fields_stay_null(sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId) -> None:
    full: dict[str, dict[str, Any]] = {
        "product": {"brand": "b", "price": 1.0, "attributes": {"a": 1}},
        "keyword": {"popularity": 1.0},
    }
    id = new_id("a")
    await outcomes_of(stage, [sink.upsert(kind, id, 1, locale="en", **full[kind])])
    await check_kept(sink, stage, store, kind, [sink.upsert(kind, id, 2)])


async def test_empty_and_zero_are_not_null(sink: Sink, stage: Stage[Any], store: Store, new_id: NewId) -> None:
    product = sink.upsert("product", new_id("a"), 1, description="", price=0.0, attributes={}, locale="")
    await check_kept(sink, stage, store, "product", [product])
    await check_kept(sink, stage, store, "keyword", [sink.upsert("keyword", new_id("b"), 1, popularity=0.0)])


async def test_text_of_any_script_is_kept(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId
) -> None:
    changes = [sink.upsert(kind, new_id(name), 1, text=text, locale=text) for name, text in TEXTS.items()]
    await check_kept(sink, stage, store, kind, changes)


async def test_prices_of_up_to_15_digits_are_kept_exactly(
    sink: Sink, stage: Stage[Any], store: Store, new_id: NewId
) -> None:
    # Qdrant's JSON parser is not exact in the last bit of longer numbers (serde_json without float_roundtrip).
    prices = [0.1, 19.99, -19.99, 1e-9, 2**53 + 0.0, 1e22, 123456789.123456, 999999999999.99]
    changes = [sink.upsert("product", new_id(str(index)), 1, price=price) for index, price in enumerate(prices)]
    await check_kept(sink, stage, store, "product", changes)


async def test_a_hit_shows_the_entitys_fields(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId
) -> None:
    text = f"word{new_id('')[:-1]}"
    change = sink.upsert(kind, new_id("a"), 1, text=text, locale="en")
    await outcomes_of(stage, [change])
    await store.refresh()
    hits = await store.search(Query(text, kind, limit=1, vector=sink.vector(text)))
    assert [(hit.id, hit.fields) for hit in hits] == [(change.id, sink.stored(change).fields)]


async def check_kept(sink: Sink, stage: Stage[Any], store: Store, kind: Kind, changes: list[Any]) -> None:
    """Reads the changes by id and in a scan. Every sink must store the same values."""
    expected = {change.id: sink.stored(change) for change in changes}
    assert await outcomes_of(stage, changes) == [Applied()] * len(changes)
    assert await store.get(kind, list(expected)) == expected
    await store.refresh()
    assert {entity.id: entity async for entity in store.scan(kind) if entity.id in expected} == expected
