"""Each change of a batch has an outcome of its own, in the batch's order."""

from collections.abc import Callable
from typing import Any

from harness.sinks import TEXT_FIELDS, Sink, outcomes_of

from headrace_schemas.changes import ID_FIELDS
from headrace_schemas.fields import MAX_ID_BYTES, Kind
from headrace_worker.stage import Applied, Rejected, Stage, Superseded
from headrace_worker.store import Store

NewId = Callable[[str], str]


async def test_outcomes_come_in_the_order_of_the_changes(
    sink: Sink, stage: Stage[Any], store: Store, new_id: NewId
) -> None:
    stored = [sink.upsert(kind, new_id(name), 5) for kind in ("product", "keyword") for name in ("x", "y", "z")]
    await outcomes_of(stage, stored)
    batch = [
        sink.upsert("keyword", new_id("x"), 4),
        sink.upsert("product", new_id("new"), 1),
        sink.delete("product", new_id("x"), 6),
        sink.upsert("product", new_id("y"), 5),
        sink.delete("keyword", new_id("y"), 3),
        sink.upsert("keyword", new_id("z"), 2**60),
        sink.upsert("product", new_id("z"), 1),
    ]
    outcomes = await outcomes_of(stage, batch)
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [Superseded, Applied, Applied, Applied, Superseded, Applied, Superseded]
    versions = {
        (kind, id): entity.version
        for kind in ("product", "keyword")
        for id, entity in (await store.get(kind, [new_id(name) for name in ("x", "y", "z", "new")])).items()
    }
    assert versions == {
        ("product", new_id("x")): 6,
        ("product", new_id("y")): 5,
        ("product", new_id("z")): 5,
        ("product", new_id("new")): 1,
        ("keyword", new_id("x")): 5,
        ("keyword", new_id("y")): 5,
        ("keyword", new_id("z")): 2**60,
    }


async def test_a_product_and_a_keyword_may_share_an_id(
    sink: Sink, stage: Stage[Any], store: Store, new_id: NewId
) -> None:
    product, keyword = sink.upsert("product", new_id("a"), 1), sink.delete("keyword", new_id("a"), 2)
    assert await outcomes_of(stage, [product, keyword]) == [Applied(), Applied()]
    assert await store.get("product", [product.id]) == {product.id: sink.stored(product)}
    assert await store.get("keyword", [keyword.id]) == {keyword.id: sink.stored(keyword)}


async def test_an_empty_batch_has_no_outcomes(stage: Stage[Any]) -> None:
    assert list(await stage.apply([])) == []


async def test_an_unknown_id_is_missing_from_the_result(store: Store, kind: Kind, new_id: NewId) -> None:
    assert await store.get(kind, [new_id("never-seen")]) == {}
    assert await store.get(kind, []) == {}


async def test_one_bad_change_among_500_good_ones_is_rejected_alone(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId
) -> None:
    good = [sink.upsert(kind, new_id(str(number)), 1) for number in range(499)]
    batch = [*good[:321], bad_change(sink, kind, new_id("bad")), *good[321:]]
    outcomes = await outcomes_of(stage, batch)
    assert isinstance(outcomes.pop(321), Rejected)
    assert outcomes == [Applied()] * 499
    expected = {change.id: sink.stored(change) for change in good}
    assert await store.get(kind, [change.id for change in batch]) == expected


async def test_a_rejected_change_leaves_the_stored_entity_unchanged(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId
) -> None:
    bad = bad_change(sink, kind, new_id("a"))
    good = sink.upsert(kind, new_id("b"), 1)
    (outcome, _) = await outcomes_of(stage, [bad, good])
    assert isinstance(outcome, Rejected)
    assert set(await store.get(kind, [bad.id, good.id])) == {good.id}


def bad_change(sink: Sink, kind: Kind, id: str) -> Any:
    """A change that the store refuses: a vector of the wrong dimension, or an id that is too long."""
    if sink.takes_vectors:
        return sink.upsert(kind, id, 1, embedding=sink.embedding("bad", dimension=7))
    change = sink.upsert(kind, id, 1)
    return type(change).model_construct(
        op="upsert", version=1, occurred_at=change.occurred_at,
        **{ID_FIELDS[kind]: id.ljust(MAX_ID_BYTES + 1, "x"), TEXT_FIELDS[kind]: "bad"},
    )  # fmt: skip
