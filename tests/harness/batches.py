"""A batch in the part of the runtime between the decoder and the dead letters, as every worker uses it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headrace_runtime.answers import Answered
from headrace_runtime.attempts import Attempts, RetryLoop
from headrace_runtime.decoder import Decoded
from headrace_runtime.stopping import Stopping
from headrace_worker.settings import BatchSettings
from headrace_worker.stage import Stage, Unavailable


async def answers(stage: Stage[Any], changes: Sequence[Any]) -> list[Answered]:
    """The stage's answer for each change; it gets only the newest change of each (kind, id)."""

    async def publish_nothing(outputs: Sequence[Any]) -> None:
        assert not outputs

    def tolerate(error: Unavailable) -> None:
        """The loop makes another attempt."""

    attempts = Attempts(stage, timeout=60, poison_tries=5)
    loop = RetryLoop(
        attempts, BatchSettings(), Stopping(), publish=publish_nothing, max_output_bytes=1, on_unavailable=tolerate
    )
    return await loop.answers(Decoded(ReadRecord(offset), change) for offset, change in enumerate(changes))


@dataclass
class ReadRecord:
    """A record with a position and nothing else."""

    offset: int
    topic: str = "changes"
    partition: int = 0
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
