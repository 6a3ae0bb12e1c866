"""The outcome of each change: with a computed or cached vector, without one, rejected or unavailable."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace_embed import metrics
from headrace_embed.cache import VectorCache
from headrace_embed.embedder import TextEmbedder
from headrace_embed.model_files import ModelFiles
from headrace_embed.stage import EmbedStage
from headrace_embed.text import content_hash
from headrace_embed.tokens import TextTokenizer
from headrace_schemas.changes import KeywordChange, ProductChange
from headrace_schemas.digest import digest_of
from headrace_schemas.embedded import EmbeddedKeyword, EmbeddedProduct
from headrace_schemas.topics import Topics
from headrace_worker.model_catalogue import KEYWORDS_AS_QUERIES
from headrace_worker.stage import Applied, Outcome, Rejected, Unavailable

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def product(number: int = 1, **fields: Any) -> ProductChange:
    values = {"op": "upsert", "version": 1, "occurred_at": NOW, "product_id": f"p{number}", "title": f"Bag {number}"}
    return ProductChange.model_validate(values | fields)


def deleted(number: int = 1, version: int = 2) -> ProductChange:
    return ProductChange(op="delete", version=version, occurred_at=NOW, product_id=f"p{number}")


def record(outcome: Outcome) -> dict[str, Any]:
    assert isinstance(outcome, Applied)
    (output,) = outcome.outputs
    value: dict[str, Any] = json.loads(output.value)
    return value


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[VectorCache]:
    cache = VectorCache(tmp_path, 384, 2**24)
    yield cache
    cache.close()


@pytest.fixture
def stage(recorded_embedder: TextEmbedder, cache: VectorCache) -> EmbedStage:
    return EmbedStage(recorded_embedder, cache, Topics())


async def test_an_embedded_record_is_the_change_with_its_vector(embedder: TextEmbedder, cache: VectorCache) -> None:
    change = product(title="Red bag", price=9.5, attributes={"colour": None, "sizes": [1, 2]})
    (outcome,) = await EmbedStage(embedder, cache, Topics()).apply([change])
    embedded = EmbeddedProduct.model_validate(record(outcome))
    assert embedded.embedding is not None
    assert embedded.fields() == change.fields()
    assert (embedded.op, embedded.version, embedded.occurred_at) == ("upsert", 1, NOW)
    assert embedded.embedding.model == "minilm-l6-v2"
    assert embedded.embedding.content_hash == content_hash("Red bag")
    assert embedded.digest == digest_of(change)
    vector = np.frombuffer(embedded.embedding.vector, dtype="<f4")
    assert np.abs(vector - (await embedder.embed(["Red bag"], "document"))[0]).max() < 1e-6
    assert isinstance(outcome, Applied)
    (output,) = outcome.outputs
    assert (output.topic, output.key) == ("headrace.products.embedded.minilm-l6-v2", b"p1")
    assert output.headers == (("headrace-schema", b"embedded-product/1"),)


async def test_texts_tokens_padding_and_the_cache_are_counted(stage: EmbedStage) -> None:
    def counts() -> list[float]:
        return [sample.value for metric in metrics.ALL for sample in metric.collect()[0].samples[:1]]

    before = counts()
    changes = [product(1), product(2), product(3, title="Bag 1"), deleted(4)]
    await stage.apply(changes)
    await stage.apply([*changes, product(5, title="Red bag")])
    texts, tokens, padded, hits, misses = (after - one for after, one in zip(counts(), before, strict=True))
    assert (texts, hits, misses) == (3, 2, 3), "equal texts of a batch are one"
    assert 0 < tokens < padded
    assert padded % 8 == 0


async def test_a_keyword_goes_to_the_keywords_topic_of_the_model(stage: EmbedStage) -> None:
    change = KeywordChange(op="upsert", version=1, occurred_at=NOW, keyword_id="k/1", text="빨간 가방")
    (outcome,) = await stage.apply([change])
    assert isinstance(outcome, Applied)
    (output,) = outcome.outputs
    assert (output.topic, output.key) == ("headrace.keywords.embedded.minilm-l6-v2", b"k/1")
    assert EmbeddedKeyword.model_validate_json(output.value).text == "빨간 가방"


async def test_each_kind_has_its_prefix_and_equal_words_with_two_prefixes_are_two_texts(
    files: ModelFiles, recorded: Any, cache: VectorCache
) -> None:
    prefixes = {"document_prefix": "passage: ", "query_prefix": "query: ", "text_kinds": KEYWORDS_AS_QUERIES}
    asymmetric = TextEmbedder(replace(files, model=replace(files.model, **prefixes)), recorded)
    words = KeywordChange(op="upsert", version=1, occurred_at=NOW, keyword_id="k", text="Red bag")
    changes = [product(title="Red bag"), words]
    outcomes = await EmbedStage(asymmetric, cache, Topics()).apply(changes)
    hashes = [record(outcome)["embedding"]["content_hash"] for outcome in outcomes]
    assert hashes == [content_hash("passage: Red bag"), content_hash("query: Red bag")]
    assert cache.get(hashes).keys() == set(hashes)
    assert recorded.texts == 2


async def test_a_delete_passes_through_without_embedding(stage: EmbedStage, recorded: Any) -> None:
    (outcome,) = await stage.apply([deleted()])
    fields = {"op": "delete", "version": 2, "occurred_at": "2026-01-02T03:04:05Z", "product_id": "p1"}
    assert record(outcome) == fields | {"digest": digest_of(deleted())}
    assert recorded.texts == 0


async def test_a_price_change_does_not_embed_again(stage: EmbedStage, recorded: Any) -> None:
    before = record((await stage.apply([product(price=1.0)]))[0])
    after = record((await stage.apply([product(price=2.0, version=2)]))[0])
    assert recorded.texts == 1
    assert after["embedding"] == before["embedding"]
    assert after["price"] == 2.0


async def test_a_text_that_several_changes_share_is_computed_once(stage: EmbedStage, recorded: Any) -> None:
    outcomes = await stage.apply([product(number, title="Red bag") for number in range(20)])
    assert recorded.texts == 1
    assert len({record(outcome)["embedding"]["vector"] for outcome in outcomes}) == 1


async def test_deletes_and_known_texts_are_applied_while_the_model_is_unavailable(
    stage: EmbedStage, recorded: Any
) -> None:
    await stage.apply([product(1)])
    recorded.batches_until_unavailable = 0
    known, gone, unknown = await stage.apply([product(1, price=2.0), deleted(2), product(3)])
    assert isinstance(known, Applied)
    assert isinstance(gone, Applied)
    assert (known.without_work, gone.without_work) == (True, True)
    assert isinstance(unknown, Unavailable)
    with pytest.raises(Unavailable):
        await stage.check()


async def test_texts_computed_before_the_model_fails_are_applied_and_not_computed_again(
    stage: EmbedStage, recorded: Any
) -> None:
    changes = [product(number, title=f"Bag {number} " * 30) for number in range(100)]
    recorded.batches_until_unavailable = 3
    outcomes = await stage.apply(changes)
    applied = sum(isinstance(outcome, Applied) and not outcome.without_work for outcome in outcomes)
    assert 0 < applied < 100
    assert applied + sum(isinstance(outcome, Unavailable) for outcome in outcomes) == 100
    computed = recorded.texts
    recorded.batches_until_unavailable = None
    assert all(isinstance(outcome, Applied) for outcome in await stage.apply(changes))
    assert recorded.texts - computed == 100 - applied


async def test_fewer_vectors_than_texts_apply_nothing_and_reject_nothing(stage: EmbedStage, recorded: Any) -> None:
    recorded.missing_rows = 1
    outcomes = await stage.apply([product(number) for number in range(50)])
    assert all(isinstance(outcome, Unavailable) for outcome in outcomes)


async def test_a_vector_that_is_not_finite_rejects_its_change_alone(
    stage: EmbedStage, recorded: Any, tokenizer: TextTokenizer
) -> None:
    changes = [product(number) for number in range(50)] + [product(99, title="A text longer than all the others")]
    recorded.faulty_length = len(tokenizer.token_ids([changes[-1].title or ""])[0])
    *good, bad = await stage.apply(changes)
    assert all(isinstance(outcome, Applied) for outcome in good)
    assert isinstance(bad, Rejected)
    assert (bad.reason, bad.cause) == ("wrong_vector", ("vector", "not finite"))


async def test_outcomes_are_in_the_order_of_the_changes(embedder: TextEmbedder, cache: VectorCache) -> None:
    changes = [deleted(4) if number == 4 else product(number, title="bag " * (30 - number)) for number in range(30)]
    outcomes = await EmbedStage(embedder, cache, Topics()).apply(changes)
    assert [record(outcome)["product_id"] for outcome in outcomes] == [change.product_id for change in changes]
    for change, outcome in zip(changes, outcomes, strict=True):
        if not change.deleted:
            vector = np.frombuffer(base64.b64decode(record(outcome)["embedding"]["vector"]), dtype="<f4")
            alone = (await embedder.embed([" ".join((change.title or "").split())], "document"))[0]
            assert np.abs(vector - alone).max() < 1e-5
