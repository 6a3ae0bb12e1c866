"""The embedder with an encoder that is slow, unavailable or wrong."""

from typing import Any

import numpy as np
import pytest

from headrace_embed.embedder import TextEmbedder
from headrace_embed.tokens import TextTokenizer
from headrace_embed.vector_faults import UnusableVectors, WrongAnswer
from headrace_worker.stage import Unavailable

TEXTS = [f"bag number {number} " * (1 + number % 40) for number in range(300)]


async def test_fewer_vectors_than_texts_are_an_error_and_drop_no_text(
    recorded_embedder: TextEmbedder, recorded: Any
) -> None:
    recorded.missing_rows = 1
    with pytest.raises(WrongAnswer):
        await recorded_embedder.embed(TEXTS, "document")


async def test_a_service_that_is_down_is_unavailable(recorded_embedder: TextEmbedder, recorded: Any) -> None:
    recorded.batches_until_unavailable = 0
    with pytest.raises(Unavailable):
        await recorded_embedder.embed(TEXTS, "document")
    with pytest.raises(Unavailable):
        await recorded_embedder.check()


async def test_vectors_computed_before_a_failure_are_returned(recorded_embedder: TextEmbedder, recorded: Any) -> None:
    recorded.batches_until_unavailable = 4
    positions: list[int] = []

    async def collect() -> None:
        async for batch in recorded_embedder.embed_batches(TEXTS):
            positions.extend(batch.positions)

    with pytest.raises(Unavailable):
        await collect()
    assert 0 < len(positions) < len(TEXTS)
    assert recorded.in_flight == 0


async def test_the_encoder_sets_the_number_of_batches_in_flight(recorded_embedder: TextEmbedder, recorded: Any) -> None:
    await recorded_embedder.embed(TEXTS, "document")
    assert recorded.most_in_flight == recorded.concurrency
    assert recorded.texts == len(TEXTS)


async def test_vectors_come_back_in_the_order_of_the_texts(embedder: TextEmbedder) -> None:
    texts = ["long " * 50, "short", "of middling length, so that sorting moves it"]
    together = await embedder.embed(texts, "document")
    for text, vector in zip(texts, together, strict=True):
        assert np.abs((await embedder.embed([text], "document"))[0] - vector).max() < 1e-5


async def test_a_vector_that_cannot_be_used_is_named_by_its_text(
    recorded_embedder: TextEmbedder, recorded: Any, tokenizer: TextTokenizer
) -> None:
    recorded.faulty_length = len(tokenizer.token_ids(["red bag"])[0])
    with pytest.raises(UnusableVectors) as error:
        await recorded_embedder.embed(["a much longer text about a bag", "red bag", "nothing at all"], "query")
    assert error.value.faults == {1: "not finite"}
    assert np.isfinite(error.value.vectors[[0, 2]]).all()
