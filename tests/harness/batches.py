"""A batch on its way through the part of the runtime that every worker's batches go through."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headrace_runtime.attempt import Attempts
from headrace_runtime.decoder import Decoded
from headrace_runtime.execute import Executor
from headrace_runtime.items import Settled
from headrace_runtime.retry import Stopping
from headrace_worker.settings import BatchSettings
from headrace_worker.stage import Stage, Unavailable


async def settle_batch(stage: Stage[Any], changes: Sequence[Any]) -> list[Settled]:
    """What became of each change, one of them for each (kind, id) applied."""

    async def publish_nothing(outputs: Sequence[Any]) -> None:
        assert not outputs

    def tolerate(error: Unavailable) -> None:
        """The executor tries again."""

    attempts = Attempts(stage, timeout=60, poison_tries=5)
    executor = Executor(
        attempts, BatchSettings(), Stopping(), publish=publish_nothing, max_output_bytes=1, on_unavailable=tolerate
    )
    return await executor.settle(Decoded(ReadRecord(offset), change) for offset, change in enumerate(changes))


@dataclass
class ReadRecord:
    """A record by its place alone."""

    offset: int
    topic: str = "changes"
    partition: int = 0
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
