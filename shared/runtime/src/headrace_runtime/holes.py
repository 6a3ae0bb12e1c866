"""Making up for records that expired before they were read, where a stage can."""

from collections.abc import Awaitable, Callable, Sequence

import structlog

from headrace_worker.stage import Output, RepairsHoles, Unavailable

log = structlog.get_logger(__name__)


class Holes:
    """What a stage has to publish once a hole was found; it is owed until the broker has acknowledged it."""

    def __init__(self, stage: object, publish: Callable[[Sequence[Output]], Awaitable[None]]) -> None:
        self._stage = stage
        self._publish = publish
        self._owed: Sequence[Output] = ()

    async def found(self) -> None:
        """A hole was found. What cannot be published now is published with the next batch."""
        if not isinstance(self._stage, RepairsHoles):
            return
        self._owed = self._stage.after_a_hole()
        try:
            await self.settle()
        except Unavailable as error:
            log.warning("repair_waits", store=error.store, detail=error.detail)

    async def settle(self) -> None:
        """Publishes what is owed. Raises Unavailable: nothing may be committed then, or a restart would forget it."""
        if self._owed:
            await self._publish(self._owed)
            log.info("hole_repaired", records=len(self._owed))
            self._owed = ()
