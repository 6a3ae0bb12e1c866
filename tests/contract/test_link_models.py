"""The link sets of two models, whose workers run at once on one set of servers."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from harness.link_sinks import LinkSink, link_set, link_sink_names, tombstone
from harness.live_workers import running
from harness.sinks import outcomes_of

from headrace_worker.served_model import OtherModel, check_model
from headrace_worker.stage import Applied, Superseded

NewId = Callable[[str], str]

pytestmark = pytest.mark.parametrize("link_sink", link_sink_names(on_servers=True), indirect=True)


async def prepared(sink: LinkSink) -> LinkSink:
    store = sink.store()
    await store.prepare()
    assert await store.prepare() == []
    await store.close()
    return sink


@pytest.fixture
async def models(link_sink: LinkSink, new_id: NewId) -> list[LinkSink]:
    """The sink of two models in a namespace of its own, prepared one after the other."""
    namespace = f"m{new_id('')[:10]}"
    updates = [{"namespace": namespace, "model": model} for model in ("minilm-l6-v2", "multilingual-e5-small")]
    return [
        await prepared(replace(link_sink, settings=link_sink.settings.model_copy(update=update))) for update in updates
    ]


async def test_each_model_has_link_sets_of_its_own(models: list[LinkSink]) -> None:
    # The second model links later: its versions are higher, and its scores are not those of the first.
    sets = [
        [link_set("a", 1, ["k1", "k2"]), link_set("b", 5, ["k1"])],
        [link_set("a", 7, ["k2"]), tombstone("b", 8), link_set("c", 9, ["k1"])],
    ]
    for sink, of_model in zip(models, sets, strict=True):
        async with sink.stage() as stage:
            assert await outcomes_of(stage, of_model) == [Applied()] * len(of_model)
    async with models[0].stage() as stage:
        assert await outcomes_of(stage, [link_set("a", 2, ["k2", "k1"])]) == [Applied()]
        assert await outcomes_of(stage, [link_set("b", 4, ["k2"])]) == [Superseded(by=5)]
    sets[0][0] = link_set("a", 2, ["k2", "k1"])
    for sink, of_model, linked in zip(models, sets, ({"a", "b"}, {"c"}), strict=True):
        store = sink.store()
        await store.refresh()
        expected = {links.product_id: links for links in of_model}
        assert await store.links_of(["a", "b", "c"]) == expected
        assert {links.product_id: links async for links in store.scan_links()} == expected
        assert {product.product_id for product in await store.products_of("k1", 10)} == linked
        await store.close()


async def test_a_worker_refuses_to_start_while_its_store_has_the_data_of_another_model(
    link_sink: LinkSink, new_id: NewId
) -> None:
    namespace = f"m{new_id('')[:10]}"
    ours, other = (
        replace(link_sink, settings=link_sink.settings.model_copy(update={"namespace": namespace, "model": model}))
        for model in ("minilm-l6-v2", "multilingual-e5-small")
    )
    await check_model(other.worker, other.settings)  # nothing is there
    await prepared(ours)
    await check_model(ours.worker, ours.settings)
    with pytest.raises(OtherModel, match=r"data of minilm-l6-v2.*headrace migrate --model multilingual-e5-small"):
        async with running(other.worker, other.settings):
            pass
    await prepared(other)
    await check_model(other.worker, other.settings)
