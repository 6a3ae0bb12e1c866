"""Kafka accepts a record without key and value. It becomes a dead letter like any other invalid record."""

from dataclasses import replace

from harness.live_workers import running
from harness.memory import MemoryStage, memory_worker
from harness.records import eventually, product, publish, read_all

from headrace_runtime.publisher import Outgoing, Publisher
from headrace_schemas import headers
from headrace_schemas.changes import ProductChange
from headrace_worker.settings import WorkerSettings


async def test_a_record_without_key_and_value_is_a_dead_letter_and_blocks_no_other(
    settings: WorkerSettings,
) -> None:
    # The source topics are compacted, and such a topic accepts no record without a key.
    source = settings.topics.embedded("product", settings.model)
    stage, publisher = MemoryStage(), Publisher(settings.kafka)
    await publisher.publish([Outgoing(source, None, None, [("kept", b"\xff")])] * 3)
    await publisher.close()
    await publish(settings, source, [product(f"p{number}", 1) for number in range(20)])

    async with running(replace(memory_worker(stage), inputs=lambda _: {source: ProductChange}), settings):
        await eventually(lambda: len(stage.stored) == 20)

        async def dead() -> bool:
            return len(await read_all(settings, settings.topics.dead("memory"))) == 3

        await eventually(dead)
    for letter in await read_all(settings, settings.topics.dead("memory")):
        assert (letter.key, letter.value) == (None, None)
        assert dict(letter.headers)["kept"] == b"\xff"
        assert dict(letter.headers)[headers.DEAD_REASON] == b"null_without_version"
