"""What a worker asks for if link sets expired before it read them."""

from collections.abc import Mapping

from headrace_schemas.headers import schema_pair
from headrace_schemas.links import Sweep
from headrace_schemas.topics import Topics
from headrace_worker.stage import Output


def sweep_for_expired(topics: Topics, first_left: Mapping[tuple[str, int], int]) -> list[Output]:
    """A sweep that publishes every link set again, if any expired. The worker `link` does one sweep for all workers
    that ask because of the same sets.

    `first_left`: the first offset that is left of each partition of which records expired unread.
    """
    expired = {partition: first for (topic, partition), first in first_left.items() if topic == topics.product_links}
    if not expired:
        return []
    sweep = Sweep(republish=True, expired=expired)
    return [Output(topics.relink, sweep.id.encode(), sweep.model_dump_json().encode(), (schema_pair(sweep),))]
