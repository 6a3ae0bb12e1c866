"""Waits until the workers have read what was on their topics at the call."""

import time
from collections.abc import Collection, Sequence

from aiokafka.errors import KafkaError

from headrace_clients.completion import Incomplete, uncommitted
from headrace_clients.group_lag import installed_groups
from headrace_clients.kafka_offsets import open_offsets
from headrace_clients.topic_graph import levels
from headrace_clients.topic_reader import UnknownTopic
from headrace_worker.settings import CommonSettings
from headrace_worker.stage import Unavailable


async def until_settled(settings: CommonSettings, workers: Collection[str], seconds: float) -> Sequence[str]:
    """Returns when the workers have committed every record that is on their topics now, and what follows from it; or
    after `seconds`, with a line for each of them that has not. Raises Unavailable.
    """
    deadline = time.monotonic() + seconds
    groups = [group for group in installed_groups(settings) if group.worker in workers]
    try:
        async with open_offsets(settings.kafka, deadline) as offsets:
            async for _ in uncommitted(offsets, groups, levels(settings.topics, settings.model), deadline):
                pass
    except Incomplete as late:
        if late.kafka is not None:
            raise Unavailable("kafka", "does not answer", kind="unreachable") from late
        return [f"{one.worker} has not read {one.records:,} records of {one.topic}" for one in late.missing]
    except (KafkaError, OSError, UnknownTopic) as error:
        detail = f"the progress of the workers cannot be read: {type(error).__name__}"
        raise Unavailable("kafka", detail, kind="unreachable") from error
    return []
