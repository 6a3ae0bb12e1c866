"""A vector store has vectors of one model and one dimension, each with the hash of its text."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from harness.sinks import Sink, outcomes_of, sink_names

from headrace_schemas.embedded import Embedding
from headrace_schemas.fields import Kind
from headrace_worker.stage import Applied, Rejected, Stage
from headrace_worker.store import Query, Store

NewId = Callable[[str], str]
pytestmark = pytest.mark.parametrize("sink", sink_names(vectors=True), indirect=True)


@pytest.mark.parametrize("dimension", [1, 383, 385, 768])
async def test_a_change_with_a_vector_of_the_wrong_dimension_is_rejected_and_not_written(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId, dimension: int
) -> None:
    stored = sink.upsert(kind, new_id("a"), 1)
    await outcomes_of(stage, [stored])
    wrong = sink.upsert(kind, new_id("a"), 2, embedding=sink.embedding("x", dimension=dimension))
    (outcome,) = await outcomes_of(stage, [wrong])
    assert isinstance(outcome, Rejected)
    assert outcome.reason == "wrong_vector"
    assert await store.get(kind, [stored.id]) == {stored.id: sink.stored(stored)}


async def test_a_change_with_a_vector_of_another_model_is_rejected_and_not_written(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId
) -> None:
    wrong = sink.upsert(kind, new_id("a"), 2, embedding=sink.embedding("x", model="another-model"))
    (outcome,) = await outcomes_of(stage, [wrong])
    assert isinstance(outcome, Rejected)
    assert outcome.reason == "wrong_model"
    assert await store.get(kind, [wrong.id]) == {}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
async def test_a_vector_that_is_not_finite_is_rejected(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId, number: float
) -> None:
    sound = sink.embedding("x")
    values = np.frombuffer(sound.vector, "<f4").copy()
    values[3] = number
    broken = Embedding(model=sound.model, content_hash=sound.content_hash, vector=values.tobytes())
    (outcome,) = await outcomes_of(stage, [sink.upsert(kind, new_id("a"), 1, embedding=broken)])
    assert isinstance(outcome, Rejected)
    assert outcome.reason == "wrong_vector"
    assert await store.get(kind, [new_id("a")]) == {}


async def test_wrong_vectors_have_one_cause_whatever_their_values(
    sink: Sink, stage: Stage[Any], kind: Kind, new_id: NewId
) -> None:
    wrong = [
        sink.upsert(kind, new_id(str(size)), 1, embedding=sink.embedding(str(size), dimension=size))
        for size in (7, 8, 9)
    ]
    outcomes = await outcomes_of(stage, wrong)
    assert len({(outcome.reason, outcome.cause) for outcome in outcomes if isinstance(outcome, Rejected)}) == 1


async def test_a_changed_text_is_found_by_its_new_vector(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId
) -> None:
    old, new = new_id("old text"), new_id("new text")
    for version, text in enumerate((old, new), start=1):
        assert await outcomes_of(stage, [sink.upsert(kind, new_id("a"), version, text=text)]) == [Applied()]
    await store.refresh()
    (best,) = await store.search(Query(new, kind, limit=1, vector=sink.vector(new)))
    assert best.id == new_id("a")
    assert best.score == pytest.approx(1.0, abs=1e-4)
    (other,) = await store.search(Query(old, kind, limit=1, vector=sink.vector(old)))
    assert other.score < 0.9


async def test_the_score_of_a_hit_is_the_cosine(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId
) -> None:
    text = new_id("text")
    await outcomes_of(stage, [sink.upsert(kind, new_id("a"), 1, text=text)])
    await store.refresh()
    away = np.asarray(sink.vector(new_id("something else")))
    there = np.asarray(sink.vector(text))
    asked = there + 0.5 * (away - (away @ there) * there)
    asked /= np.linalg.norm(asked)
    (hit,) = await store.search(Query("", kind, limit=1, vector=[float(value) for value in asked]))
    assert hit.id == new_id("a")
    assert hit.score == pytest.approx(float(asked @ there), abs=1e-4)


async def test_a_search_with_a_vector_of_another_dimension_is_refused(sink: Sink, store: Store, kind: Kind) -> None:
    with pytest.raises(Exception, match=r"dimension|size|vector"):
        await store.search(Query("x", kind, vector=sink.vector("x", dimension=7)))
