"""The timeline of a batch: the times of its steps follow one another, and it tells which records an attempt had."""

from typing import Any

from harness.kafka_record import kafka_record
from harness.memory import MemoryStage
from harness.records import product

from headrace_runtime.attempts import Attempts, RetryLoop
from headrace_runtime.decoder import Decoded
from headrace_runtime.stopping import Stopping
from headrace_runtime.timeline import Timeline
from headrace_schemas.changes import ProductChange
from headrace_worker.settings import BatchSettings
from headrace_worker.stage import Outcome, Unavailable

DOWN = Unavailable("memory", "down")


class DownOnce(MemoryStage):
    """Answers for the product a at once, and for the others at the second attempt."""

    def apply_one(self, change: Any) -> Outcome:
        return DOWN if len(self.batches) == 1 and change.id != "a" else super().apply_one(change)


async def test_each_attempt_has_its_records_and_its_failure_and_publications_have_their_outputs() -> None:
    async def publish(outputs: Any) -> None:
        """Acknowledges them."""

    stage = DownOnce()
    stage.outputs = "out"
    loop = RetryLoop(
        Attempts(stage, timeout=5, poison_tries=3),
        BatchSettings(backoff_max=0.01),
        Stopping(),
        publish=publish,
        max_output_bytes=1000,
        on_unavailable=lambda error: None,
    )
    values = [product(id, 1) for id in ("a", "b", "c")]
    records = [Decoded(kafka_record(value), ProductChange.model_validate(value)) for value in values]
    timeline = Timeline(polled=1)
    await loop.answers(records, timeline=timeline)
    ids = [[record.change.id for record in attempt.records] for attempt in timeline.attempts]
    assert ids == [["a", "b", "c"], ["b", "c"]]
    assert [attempt.failure for attempt in timeline.attempts] == [DOWN, None]
    sent = [[decoded.change.id for decoded, _ in one.outputs] for one in timeline.publications]
    assert sent == [["a"], ["b", "c"]]
    pairs = zip(timeline.attempts, timeline.publications, strict=True)
    times = [time for pair in pairs for one in pair for time in (one.started, one.ended)]
    assert times == sorted(times)


def test_the_steps_of_a_batch_are_summed_in_seconds() -> None:
    second = 1_000_000_000
    timeline = Timeline(polled=10 * second, decoded=11 * second, answered=20 * second, settled=21 * second)
    assert timeline.seconds("write") == {"decode": 1.0, "write": 0.0, "publish": 1.0}
