"""Searches find only live entities; scan and get return tombstones too."""

from typing import Any

import pytest

from headrace_elasticsearch import reading
from headrace_elasticsearch.stage import ElasticsearchStage
from headrace_elasticsearch.store import ElasticsearchStore
from headrace_schemas.digest import digest_of
from headrace_worker.store import Query, Stored


async def test_a_deleted_product_is_hidden_from_searches_and_found_again_when_it_is_re_created(
    stage: ElasticsearchStage, store: ElasticsearchStore, product: Any
) -> None:
    async def found() -> list[str]:
        await store.refresh()
        return [hit.id for hit in await store.search(Query("lamp"))]

    await stage.apply([product("a", 1)])
    assert await found() == ["a"]
    await stage.apply([product("a", 2, op="delete")])
    assert await found() == []
    await stage.apply([product("a", 3)])
    assert await found() == ["a"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kettle", "english"),
        ("무선 주전자", "korean"),
        ("주전자", "korean"),
        ("電気ケトル", "japanese"),
        ("ケトル", "japanese"),
        ("湯沸かし", "japanese"),
        ("acme", "english"),
        ("Küchengeräte", "english"),
    ],
)
async def test_a_product_is_found_by_its_words_in_every_language_of_the_catalogue(
    stage: ElasticsearchStage, store: ElasticsearchStore, product: Any, text: str, expected: str
) -> None:
    await stage.apply(
        [
            product("english", title="Cordless kettle", brand="Acme", category="Küchengeräte"),
            product("korean", title="무선 주전자를 위한 받침", description="주방에서 씁니다"),
            product("japanese", title="電気 ケトル", description="お湯を沸かす、湯沸かし器です"),
            product("other", title="Desk lamp", description="机の上の灯り 책상 조명"),
        ]
    )
    await store.refresh()

    hits = await store.search(Query(text))

    assert hits[0].id == expected
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


async def test_a_title_weighs_more_than_a_description_and_the_limit_is_kept(
    stage: ElasticsearchStage, store: ElasticsearchStore, product: Any
) -> None:
    await stage.apply([product("described", description="garden"), product("titled", title="Garden"), product("other")])
    await store.refresh()

    assert [hit.id for hit in await store.search(Query("garden", limit=1))] == ["titled"]


async def test_keywords_are_searched_by_their_text(
    stage: ElasticsearchStage, store: ElasticsearchStore, keyword: Any, product: Any
) -> None:
    await stage.apply([keyword("k1", text="garden chair"), keyword("k2", text="lamp"), product("p", title="garden")])
    await store.refresh()

    [hit] = await store.search(Query("garden", kind="keyword"))

    assert (hit.id, hit.fields) == ("k1", {"keyword_id": "k1", "text": "garden chair"})


async def test_a_scan_gives_everything_once_tombstones_included_over_many_pages(
    stage: ElasticsearchStage, store: ElasticsearchStore, product: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PAGE", 7)
    changes = [product(f"p{n}", n + 1, op="delete" if n % 10 == 0 else "upsert") for n in range(100)]
    await stage.apply(changes)
    await store.refresh()

    stored = [entity async for entity in store.scan("product")]

    assert sorted((entity.id, entity.version, entity.deleted) for entity in stored) == sorted(
        (change.id, change.version, change.deleted) for change in changes
    )
    assert [entity async for entity in store.scan("keyword")] == []


async def test_stored_fields_are_the_published_fields_that_are_not_null(
    stage: ElasticsearchStage, store: ElasticsearchStore, product: Any
) -> None:
    full: dict[str, Any] = {
        "title": "Lamp", "description": "d", "brand": "b", "category": "c", "price": 1e22, "currency": "EUR",
        "attributes": {"a": [1, 2.5, None, True, {"b": "\u2028"}]}, "locale": "ja",
    }  # fmt: skip
    odd = "a/b c?#%😀"
    changes = [product(odd, 3, **full), product("gone", 4, op="delete"), product("bare", 2**53 + 1)]
    await stage.apply(changes)

    stored = await store.get("product", [odd, "gone", "bare", "unknown"])

    assert stored == {
        odd: Stored(odd, 3, deleted=False, fields={"product_id": odd, **full}, digest=digest_of(changes[0])),
        "gone": Stored("gone", 4, deleted=True, digest=digest_of(changes[1])),
        "bare": Stored(
            "bare",
            2**53 + 1,
            deleted=False,
            fields={"product_id": "bare", "title": "Lamp"},
            digest=digest_of(changes[2]),
        ),
    }
