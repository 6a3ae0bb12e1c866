"""How a batch is cut into bulk requests."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from headrace_elasticsearch.documents import Action


@dataclass(frozen=True, slots=True)
class BulkLimits:
    """The size of a bulk request, and how many are in flight.

    Common proxies accept `bytes`, and aiohttp does so without a warning. A node refuses requests that together exceed a
    tenth of its heap: the defaults, 4 MiB together, fit the smallest heap.
    """

    actions: int = 1000
    bytes: int = 1024 * 1024
    in_flight: int = 4


def cut(actions: Iterable[Action], limits: BulkLimits) -> Iterator[list[Action]]:
    """The actions in order, in requests within the limits. An action that exceeds them has a request of its own."""
    bulk: list[Action] = []
    size = 0
    for action in actions:
        if bulk and (len(bulk) == limits.actions or size + len(action.lines) > limits.bytes):
            yield bulk
            bulk, size = [], 0
        bulk.append(action)
        size += len(action.lines)
    if bulk:
        yield bulk
