"""A catalogue of several languages: a word finds the texts of its language in every form, on a real server."""

from typing import Any

import pytest
from elasticsearch import AsyncElasticsearch

from headrace_elasticsearch import analyzers
from headrace_elasticsearch.documents import action
from headrace_elasticsearch.indices import Indices
from headrace_elasticsearch.languages import language_of, languages_of_text
from headrace_elasticsearch.stage import ElasticsearchStage
from headrace_elasticsearch.store import ElasticsearchStore
from headrace_worker.stage import Applied, Unavailable
from headrace_worker.store import Query

TITLES = {
    "tent-ko": ("ko-KR", "캠핑용 방수텐트를 만나보세요"),
    "shoes-ko": ("ko-KR", "가벼운 남성 운동화"),
    "tent-ja": ("ja-JP", "テントを買いました"),
    "shoes-ja": ("ja-JP", "軽い運動靴"),
    "tent-zh": ("zh-CN", "防水帐篷"),
    "tent-en": ("en-US", "Waterproof tent for camping"),
}
FOUND = [
    ("방수 텐트", "tent-ko"),
    ("텐트", "tent-ko"),
    ("운동화", "shoes-ko"),
    ("買う", "tent-ja"),
    ("テント", "tent-ja"),
    ("帐篷", "tent-zh"),
    ("tent", "tent-en"),
]


@pytest.mark.servers
async def test_a_word_finds_the_texts_of_its_language_in_every_form(
    store: ElasticsearchStore, stage: ElasticsearchStage, product: Any, keyword: Any
) -> None:
    changes = [product(id, title=title, locale=locale) for id, (locale, title) in TITLES.items()]
    without_locale = keyword("k1", text="방수텐트")
    assert await stage.apply([*changes, without_locale]) == [Applied()] * 7
    await store.refresh()

    for text, id in FOUND:
        hits = await store.search(Query(kind="product", text=text, vector=None, limit=3))
        assert [hit.id for hit in hits][:1] == [id], text
        assert hits[0].fields == {"product_id": id, "title": TITLES[id][1], "locale": TITLES[id][0]}
    assert [hit.id for hit in await store.search(Query(kind="keyword", text="텐트", vector=None, limit=3))] == ["k1"]


@pytest.mark.servers
async def test_the_texts_of_a_language_are_not_stored_twice(
    client: AsyncElasticsearch, names: Indices, store: ElasticsearchStore, stage: ElasticsearchStage, product: Any
) -> None:
    await stage.apply([product("a", title="텐트", description="방수", locale="ko")])

    document = await client.get(index=names["product"].physical, id="a")
    assert "ko" not in document["_source"]
    assert {name: field.fields for name, field in (await store.get("product", ["a"])).items()} == {
        "a": {"product_id": "a", "title": "텐트", "description": "방수", "locale": "ko"}
    }


@pytest.mark.servers
async def test_a_server_without_the_analyzer_gets_another_and_is_told_so(
    client: AsyncElasticsearch, names: Indices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(analyzers.ANALYZERS, "ko", "not_installed")
    index = names["product"]

    lines = await ElasticsearchStore(client, {"product": index}).prepare()

    assert lines == [
        f"index {index.physical} with alias {index.alias}",
        f"{index.physical}: cjk for the texts in ko, because the server has no not_installed",
    ]
    mapping = (await client.indices.get_mapping(index=index.physical)).body[index.physical]["mappings"]
    assert mapping["properties"]["ko"]["properties"]["title"]["analyzer"] == "cjk"


@pytest.mark.servers
async def test_an_index_of_an_earlier_release_gets_the_fields_and_until_then_refuses_no_product(
    client: AsyncElasticsearch, names: Indices, stage: ElasticsearchStage, product: Any
) -> None:
    index = names["product"]
    await client.indices.delete(index=index.physical)
    older = {name: field for name, field in index.mapping["properties"].items() if name not in index.languages}
    mappings = {"dynamic": "strict", "properties": older}
    await client.indices.create(index=index.physical, mappings=mappings, aliases={index.alias: index.alias_settings})
    korean = product("a", title="방수텐트", locale="ko-KR")
    with pytest.raises(Unavailable, match="no field ko; has `headrace stores apply` been run"):
        await stage.apply([korean])

    store = ElasticsearchStore(client, names)
    assert await store.prepare() == [f"fields of {index.physical}: ja, ko, zh"]
    assert await stage.apply([korean]) == [Applied()]
    await store.refresh()
    assert [hit.id for hit in await store.search(Query(kind="product", text="텐트", vector=None, limit=3))] == ["a"]


@pytest.mark.parametrize(
    ("locale", "title", "language"),
    [
        ("ko-KR", "Tent", "ko"),
        ("KO_kr", "텐트", "ko"),
        ("kok-IN", "Tent", None),
        ("en-US", "텐트", None),
        (None, "텐트 Pro 3", "ko"),
        (None, "防水テント", "ja"),
        (None, "ﾃﾝﾄ", "ja"),
        (None, "防水帐篷", "zh"),
        (None, "Zelt für Bären", None),
        ("", "텐트", "ko"),
    ],
)
def test_the_language_is_that_of_the_locale_or_of_the_script(
    product: Any, locale: str | None, title: str, language: str | None
) -> None:
    assert language_of(product("a", title=title, locale=locale)) == language


def test_han_characters_alone_are_searched_as_japanese_and_as_chinese() -> None:
    assert languages_of_text("防水") == ("zh", "ja")


def test_a_text_without_a_language_of_its_own_is_written_once(product: Any, names: Indices) -> None:
    from datetime import UTC, datetime

    lines = action(product("a", title="Lamp", locale="en-US"), names["product"], datetime.now(UTC)).lines
    assert lines.count(b"Lamp") == 1
