"""A link set carries the times of the change that caused it, and requests are counted by what made them."""

import numpy as np
import pytest
from harness.linking import Linking
from prometheus_client.registry import Collector

from headrace_link.metrics import COALESCED, REQUESTS, SETS, SWEEPS
from headrace_schemas.headers import OCCURRED_AT, PUBLISHED_AT

pytestmark = pytest.mark.asyncio(loop_scope="module")


def counts(metric: Collector) -> dict[str, float]:
    """By the value of the label; "" without one."""
    samples = [one for family in metric.collect() for one in family.samples if one.name.endswith("_total")]
    return {"".join(sample.labels.values()): sample.value for sample in samples}


async def caused_by(linking: Linking, product_id: str) -> tuple[int, bool] | None:
    """The version of the change that caused the product's last link set, and whether it is known when it occurred."""
    await linking.published()
    headers = linking.headers[product_id]
    if PUBLISHED_AT not in headers:
        return None
    return int(headers[PUBLISHED_AT]) // 1000, OCCURRED_AT in headers


async def test_a_link_set_carries_the_times_of_the_first_published_change_that_caused_it(linking: Linking) -> None:
    await linking.put("product", "p", (1, 0, 0, 0))
    await linking.drain()
    version, _ = await caused_by(linking, "p") or (0, False)
    assert version > 0
    await linking.put("keyword", "near", (1, 0, 0, 0))
    await linking.put("keyword", "nearer", (0.9, 0.1, 0, 0))
    await linking.handle_receipts(shuffled=np.random.default_rng(1))
    await linking.drain()
    assert await linking.linked("p") == ["near", "nearer"]
    assert await caused_by(linking, "p") == (version + 1, True)


async def test_an_explicit_request_causes_a_link_set_without_the_times_of_a_change(linking: Linking) -> None:
    await linking.put("product", "p", (1, 0, 0, 0))
    await linking.drain()
    await linking.request("p", republish=True)
    await linking.drain()
    assert await caused_by(linking, "p") is None


async def test_requests_sweeps_and_sets_are_counted(linking: Linking) -> None:
    before = [counts(metric) for metric in (REQUESTS, COALESCED, SWEEPS, SETS)]
    await linking.put("product", "p", (1, 0, 0, 0))
    await linking.drain()
    await linking.request(*["p"] * 3, republish=True)
    await linking.drain()
    await linking.sweep()
    await linking.drain()
    after = [counts(metric) for metric in (REQUESTS, COALESCED, SWEEPS, SETS)]
    new = [
        {of: n - old.get(of, 0) for of, n in now.items() if n != old.get(of, 0)}
        for now, old in zip(after, before, strict=True)
    ]
    assert new == [{"receipt": 1, "explicit": 1, "sweep": 1}, {}, {"": 1}, {"": 2}]
