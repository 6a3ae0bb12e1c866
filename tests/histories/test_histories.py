"""Random histories end with the stores that the model expects, and a failing one is found and made small."""

from collections.abc import AsyncIterator, Collection
from pathlib import Path

import pytest
import pytest_asyncio
from harness.pipeline import Pipeline
from harness.servers import Servers

from headrace_schemas.fields import Kind
from headrace_worker.store import Stored
from histories.generator import history, named
from histories.on_kafka import VARIABLES, OnKafka
from histories.run import Runner
from histories.steps import Publish, printed, to_json
from histories.workers import HistoryWorker, open_workers

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEED = 1
IN_CI, AT_ONCE = 500, 250
ON_KAFKA = 300


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runner(servers: Servers) -> AsyncIterator[Runner]:
    async with open_workers(
        servers, refused := set[tuple[str, str, int]](), NAMESPACE="histories", TOPIC_PREFIX="histories."
    ) as workers:
        yield Runner(workers, refused, servers)


async def assert_right(runner: Runner, numbers: range, *killed: str) -> None:
    histories = [history(SEED, number) for number in numbers]
    result = await runner.run(histories, f"{SEED}:{numbers.start}", killed)
    for place, said in result.failed.items():
        small, found = await runner.smallest(histories[place])
        first = f"{len(result.failed)} histories of seed {SEED} fail, number {numbers[place]} so, as small as possible:"
        pytest.fail("\n".join([first, printed(small), to_json(small), *(found or said)]))
    assert result.records > 10 * len(histories)


@pytest.mark.parametrize("first", range(0, IN_CI, AT_ONCE))
async def test_every_store_ends_as_the_model_expects(runner: Runner, faults: Servers, first: int) -> None:
    await assert_right(runner, range(first, first + AT_ONCE), *(["pgvector", "qdrant"] if first else []))


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_ten_thousand_histories_with_stores_that_are_killed(runner: Runner, faults: Servers) -> None:
    for place, first in enumerate(range(IN_CI, IN_CI + 10_000, AT_ONCE)):
        await assert_right(runner, range(first, first + AT_ONCE), ("elasticsearch", "pgvector", "qdrant")[place % 3])


async def test_a_failing_history_is_found_and_made_as_small_as_possible(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stores seem to forget tombstones."""
    stored = HistoryWorker.stored

    async def without_tombstones(worker: HistoryWorker, kind: Kind, ids: Collection[str]) -> dict[str, Stored]:
        return {id: one for id, one in (await stored(worker, kind, ids)).items() if not one.deleted}

    monkeypatch.setattr(HistoryWorker, "stored", without_tombstones)
    histories = [history(SEED, number) for number in range(10)]
    failed = (await runner.run(histories, "forgotten")).failed
    small, said = await runner.smallest(histories[min(failed)])
    (step,) = small.steps
    assert isinstance(step, Publish)
    assert step.content is None
    assert any("missing: is missing" in line for line in said)


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.timeout(1800)
async def test_hundreds_of_histories_through_the_whole_pipeline(tmp_path: Path) -> None:
    servers = Servers(tmp_path / "stack")
    pipeline = Pipeline(servers, tmp_path, **VARIABLES)
    try:
        await pipeline.open()
        chosen = named(history(SEED, number) for number in range(ON_KAFKA))
        verdict = await OnKafka(pipeline, servers, chosen, SEED).run()
        assert verdict.said == []
        assert verdict.entities > ON_KAFKA
    finally:
        await pipeline.close()
        servers.destroy()
