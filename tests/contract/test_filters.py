"""A search with filters finds the best of those that have what the filters want, in every store."""

from typing import Any

import pytest
from harness.sinks import Sink, outcomes_of

from headrace_schemas.fields import Kind
from headrace_worker.stage import Stage
from headrace_worker.store import Filters, Query, Store

PRODUCTS: dict[str, dict[str, Any]] = {
    "cheap": {"brand": "Acme", "category": "Tents", "price": 19.5, "locale": "en-US"},
    "dear": {"brand": "Acme", "category": "Tents", "price": 900.0, "locale": "ko-KR"},
    "other": {"brand": "ACME Tools", "category": "Tents > Poles", "price": 50.0, "locale": "en-US"},
    "free": {"brand": "Acme", "category": "Tents", "price": 0.0, "locale": "en-GB"},
    "bare": {},
}
WANTED: dict[Filters, set[str]] = {
    Filters(): {"cheap", "dear", "other", "free", "bare"},
    Filters(locale="ko-KR"): {"dear"},
    Filters(brand="Acme"): {"cheap", "dear", "free"},
    Filters(category="Tents"): {"cheap", "dear", "free"},
    Filters(brand="acme"): set(),
    Filters(min_price=19.5): {"cheap", "dear", "other"},
    Filters(max_price=19.5): {"cheap", "free"},
    Filters(min_price=0, max_price=0): {"free"},
    Filters(brand="Acme", category="Tents", locale="en-US", min_price=1, max_price=50): {"cheap"},
    Filters(min_price=901): set(),
}


async def test_a_search_finds_only_what_the_filters_want(
    sink: Sink, stage: Stage[Any], store: Store, new_id: Any
) -> None:
    text = f"word{new_id('')[:-1]}"
    ids = {new_id(name): name for name in PRODUCTS}
    changes = [sink.upsert("product", id, 1, text=text, **PRODUCTS[name]) for id, name in ids.items()]
    gone = sink.delete("product", new_id("gone"), 1)
    await outcomes_of(stage, [*changes, gone])
    await store.refresh()

    for filters, wanted in WANTED.items():
        hits = await store.search(Query(text, limit=1000, vector=sink.vector(text), filters=filters))
        assert {ids[hit.id] for hit in hits if hit.id in ids} == wanted, filters


@pytest.mark.parametrize("limit", [1, 3])
async def test_the_limit_counts_what_the_filters_want(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: Any, limit: int
) -> None:
    text = f"word{new_id('')[:-1]}"
    locales = ["other"] * 30 + [f"of {text}"] * 3
    await outcomes_of(
        stage,
        [sink.upsert(kind, new_id(str(number)), 1, text=text, locale=one) for number, one in enumerate(locales)],
    )
    await store.refresh()

    filters = Filters(locale=f"of {text}")
    hits = await store.search(Query(text, kind, limit, sink.vector(text), filters))
    assert [hit.fields["locale"] for hit in hits] == [f"of {text}"] * limit
