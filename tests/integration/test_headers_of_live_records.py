"""The headers of a replay count on the topic of replays. On any other topic they are a record's own."""

from datetime import UTC, datetime

import pytest
from harness.live_workers import has_problem, running
from harness.memory import MemoryStage, memory_worker
from harness.records import eventually, product, publish, read_all, receipts

from headrace_cli.kafka_topics import apply_topics
from headrace_letters.letter import Letter, read_letter
from headrace_schemas import headers
from headrace_worker.settings import WorkerSettings

pytestmark = pytest.mark.servers


async def test_a_letter_that_another_tool_sends_to_its_source_topic_is_a_new_record_of_each_worker(
    settings: WorkerSettings,
) -> None:
    names = ("memory", "other")
    await apply_topics(settings, names)
    source = settings.topics.source("product")
    stages = [MemoryStage() for _ in names]
    for stage in stages:
        stage.reject = {"p1"}
    await publish(settings, source, [product("p1", 1)])
    async with (
        running(memory_worker(stages[0], names[0]), settings),
        running(memory_worker(stages[1], names[1]), settings),
    ):
        await eventually(lambda: _letters(settings, names, 1))
        (sent,) = await read_all(settings, settings.topics.dead(names[0]))
        own = [(name, bytes(value)) for name, value in sent.headers]
        # As a tool does that copies a dead letter with its headers.
        long_ago = [(headers.PUBLISHED_AT, b"1000")]
        await publish(settings, source, [product("p1", 1)], headers=[*long_ago, *own, (headers.REPLAY_OF, b"any")])
        await eventually(lambda: _letters(settings, names, 2))
    letters = [letter for name in names for letter in await _read(settings, name)]
    assert len({letter.id for letter in letters}) == 4
    assert [letter.attempts for letter in letters] == [1] * 4
    found = [receipt for name in names for receipt in (await receipts(settings, name)).values()]
    assert [receipt.published_at > datetime(2020, 1, 1, tzinfo=UTC) for receipt in found] == [True] * 4
    positions = {letter.failed for letter in letters}
    assert {where.topic for where in positions if where} == {source}
    assert len(positions) == 2


async def test_a_live_record_that_calls_itself_a_replay_counts_for_the_breaker(settings: WorkerSettings) -> None:
    stage = MemoryStage()
    stage.reject = {f"p{n}" for n in range(400)}
    records = [product(f"p{n}", 1) for n in range(400)]
    await publish(settings, settings.topics.source("product"), records, headers=[(headers.REPLAY_OF, b"any")])
    async with running(memory_worker(stage), settings) as application:
        await eventually(lambda: has_problem(application, "held: "))
    assert len(await read_all(settings, settings.topics.dead("memory"))) < 200


async def _letters(settings: WorkerSettings, names: tuple[str, ...], expected: int) -> bool:
    return all([len(await _read(settings, name)) == expected for name in names])


async def _read(settings: WorkerSettings, name: str) -> list[Letter]:
    return [read_letter(record, settings.topics) for record in await read_all(settings, settings.topics.dead(name))]
