"""The topic of link sets, as the link worker writes it."""

from collections.abc import Awaitable, Callable, Sequence

from headrace_link import records
from headrace_link.link_set import SHOWN, LinkSet, Shown
from headrace_link.metrics import SETS
from headrace_worker.stage import Output, Rejected

Publish = Callable[[Sequence[Output]], Awaitable[None]]
"""Returns when every record is acknowledged. Raises Unavailable."""
SHOWN_IF_TOO_LARGE = (SHOWN, Shown(1000, 100), Shown(100, 20))
"""The texts are for display, so a set with shortened texts is better than none."""


class ProductLinksTopic:
    """Makes and publishes records of link sets. `max_bytes`: of the largest record that the topic accepts."""

    def __init__(self, name: str, model: str, max_bytes: int, publish: Publish) -> None:
        self._name = name
        self._model = model
        self._max_bytes = max_bytes
        self._publish = publish

    def record(self, links: LinkSet, version: int, carried: records.Carried = ()) -> Output | Rejected:
        """The record of a set, with shorter texts if it is too large; or why the topic cannot accept it.

        `carried`: of the request that the set answers.
        """
        for shown in SHOWN_IF_TOO_LARGE:
            output = records.links(self._name, links.published(version, shown), self._model, carried)
            if len(output.key) + len(output.value) <= self._max_bytes:
                return output
        size = len(output.key) + len(output.value)
        detail = f"the link set has {size} bytes, more than the {self._max_bytes} that its topic accepts"
        return Rejected("too_large", detail, ("links",), may_hold=False)

    async def publish(self, outputs: Sequence[Output]) -> None:
        """Returns when every record is acknowledged. Raises Unavailable."""
        await self._publish(outputs)
        SETS.inc(len(outputs))
