"""Each link set of a batch has an outcome of its own, whatever else is in the batch."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from harness.batches import answers
from harness.link_sinks import LinkSink, link_set, tombstone
from harness.sinks import Sink, outcomes_of, sink_records

from headrace_schemas.fields import MAX_ID_BYTES
from headrace_schemas.links import Link, ProductLinks
from headrace_worker.stage import Applied, Rejected, Stage, Superseded
from headrace_worker.store import LinkStore

NewId = Callable[[str], str]
PRODUCTS, VERSIONS = 30, 13


async def test_outcomes_of_link_sets_come_in_the_order_of_the_batch(
    link_sink: LinkSink, link_stage: Stage[Any], link_store: LinkStore, new_id: NewId
) -> None:
    entities = Sink(link_sink.worker, link_sink.settings, sink_records(link_sink.worker.name))
    x, y, z, a = map(new_id, ("x", "y", "z", "a"))
    await outcomes_of(link_stage, [link_set(id, 5, [a]) for id in (x, y)] + [entities.upsert("product", x, 9)])
    batch = [
        link_set(x, 4, []), entities.upsert("product", x, 8), tombstone(y, 6), entities.delete("keyword", a, 1),
        link_set(z, 1, [a, new_id("b")]), entities.upsert("product", z, 1),
    ]  # fmt: skip
    outcomes = await outcomes_of(link_stage, batch)
    assert [type(outcome) for outcome in outcomes] == [Superseded, Superseded, Applied, Applied, Applied, Applied]
    expected = [link_set(x, 5, [a]), batch[2], batch[4]]
    assert await link_store.links_of([x, y, z]) == {links.id: links for links in expected}


async def test_one_bad_link_set_among_500_good_ones_is_rejected_alone(
    link_stage: Stage[Any], link_store: LinkStore, new_id: NewId
) -> None:
    good = [link_set(new_id(str(number)), 1, [new_id("a"), new_id("b")]) for number in range(499)]
    bad = impossible(new_id("bad"))
    outcomes = await outcomes_of(link_stage, [*good[:321], bad, *good[321:]])
    assert isinstance(outcomes.pop(321), Rejected)
    assert outcomes == [Applied()] * 499
    assert await link_store.links_of([bad.id, *(links.id for links in good)]) == {links.id: links for links in good}


async def test_a_rejected_link_set_leaves_the_stored_one_unchanged(
    link_stage: Stage[Any], link_store: LinkStore, new_id: NewId
) -> None:
    before = link_set(new_id("p"), 1, [new_id("a"), new_id("b")])
    await outcomes_of(link_stage, [before])
    worse = before.model_copy(update={"version": 2, "links": impossible("any").links})
    (outcome, other) = await outcomes_of(link_stage, [worse, link_set(new_id("q"), 1, [new_id("a")])])
    assert isinstance(outcome, Rejected)
    assert other == Applied()
    assert await link_store.links_of([before.id]) == {before.id: before}


async def test_the_newer_of_two_link_sets_of_one_product_in_one_batch_is_stored(
    link_stage: Stage[Any], link_store: LinkStore, new_id: NewId
) -> None:
    p, q, a, b = map(new_id, ("p", "q", "a", "b"))
    batch = [link_set(p, 1, [a, b]), tombstone(q, 3), link_set(p, 3, [b]), link_set(q, 2, [a]), link_set(p, 2, [a])]
    answered = await answers(link_stage, batch)
    applied = {(done.change.id, done.change.version) for done in answered if done.answer == "applied"}
    assert applied == {(p, 3), (q, 3)}
    assert len(answered) == len(batch)
    assert await link_store.links_of([p, q]) == {p: batch[2], q: batch[1]}


async def test_writers_of_the_same_link_sets_leave_the_newest_ones_complete(
    link_sink: LinkSink, link_store: LinkStore, new_id: NewId
) -> None:
    keywords = [new_id(f"k{number}") for number in range(20)]
    products = [new_id(str(number)) for number in range(PRODUCTS)]

    def made(product: str, version: int) -> ProductLinks:
        if version % 4 == 0:
            return tombstone(product, version)
        return link_set(product, version, keywords[version % 3 : version + 5 : 1 + version % 2])

    chance = random.Random(5)
    batches = [[made(product, version) for product in products] for version in range(1, VERSIONS + 1)]
    for batch in batches:
        chance.shuffle(batch)
    chance.shuffle(batches)
    async with link_sink.stage() as one, link_sink.stage() as other:

        async def write(stage: Any) -> None:
            while batches:
                outcomes = await outcomes_of(stage, batches.pop())
                assert {type(outcome) for outcome in outcomes} <= {Applied, Superseded}

        await asyncio.gather(write(one), write(other), write(one), write(other))
    assert await link_store.links_of(products) == {product: made(product, VERSIONS) for product in products}


def impossible(product_id: str) -> ProductLinks:
    """A set that every store refuses: for an id that is too long, or for a character that it cannot store."""
    keyword_id = "x" * (40_000 + MAX_ID_BYTES)
    link = Link.model_construct(keyword_id=keyword_id, text="\x00", score=0.5, rank=1)
    return ProductLinks.model_construct(product_id=product_id, version=1, deleted=False, title="bad", links=(link,))
