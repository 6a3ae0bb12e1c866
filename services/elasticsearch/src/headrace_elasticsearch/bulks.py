"""How a batch is cut into bulk requests."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from headrace_elasticsearch.documents import Action


@dataclass(frozen=True, slots=True)
class BulkLimits:
    """How large one bulk request may be and how many are under way at once.

    `bytes` is what common proxies take, and what aiohttp takes without a warning. A node refuses what exceeds a tenth
    of its heap in flight: the defaults, 4 MiB together, fit the smallest.
    """

    actions: int = 1000
    bytes: int = 1024 * 1024
    in_flight: int = 4


def cut(actions: Iterable[Action], limits: BulkLimits) -> Iterator[list[Action]]:
    """The actions in order, in requests within the limits; an action too large for them goes alone."""
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
