"""The spans that wait for the collector: a bounded queue, and a thread that exports them.

The SDK's BatchSpanProcessor drops spans when its queue is full and when the collector refuses them, and counts neither.
"""

import asyncio
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import structlog

log = structlog.get_logger(__name__)

MOST_WAITING = 8192
"""Spans, some 3 MB."""
PART = 512
"""Spans of one request; far below the 4 MB that a collector accepts over gRPC."""
LINGER = 0.2
"""Seconds that the thread waits for more spans than a part of a request."""
ROOM_WITHIN = 5.0
"""How long a batch waits for room, seconds. It does not wait for a collector that refuses spans or is down."""
ROOM_POLL = 0.02
CLOSE_WITHIN = 3.0
"""How long the end of the process waits for the export of all spans, seconds."""
LOG_EVERY = 60.0


class Exporter(Protocol):
    """Sends spans to a collector."""

    def export(self, spans: Sequence[bytes]) -> bool:
        """Whether the collector has taken the encoded spans. Blocks, within a limited time."""
        ...

    def shutdown(self) -> None:
        """Ends an export that waits."""
        ...


def _log(spans: int, why: str) -> None:
    log.warning("spans_dropped", spans=spans, why=why, advice="check that the OTLP endpoint runs and accepts spans")


class SpanQueue:
    """Exports spans in the order of their batches. `on_dropped` gets the number of spans that are lost, each time;
    `report` gets their sum and the reason, once a minute at most and at the end.
    """

    def __init__(
        self, exporter: Exporter, on_dropped: Callable[[int], object], report: Callable[[int, str], None] = _log
    ) -> None:
        self._exporter = exporter
        self._on_dropped = on_dropped
        self._reports_to = report
        self._waiting: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._failing = False
        self._unreported = 0
        self._reported = -LOG_EVERY
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    async def put(self, spans: Iterable[bytes]) -> None:
        """Returns when all spans are in the queue or dropped, which happens after ROOM_WITHIN seconds without room."""
        until = time.monotonic() + ROOM_WITHIN
        taken = iter(spans)
        while part := list(itertools.islice(taken, PART)):
            while not self._add(part):
                if self._failing or self._closing or time.monotonic() > until:
                    self._drop(len(part), "the queue is full")
                    break
                await asyncio.sleep(ROOM_POLL)
            # Building many spans takes a while: the event loop's other tasks go on in between.
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Exports everything within CLOSE_WITHIN seconds, and drops the rest."""
        await asyncio.to_thread(self.close_now)

    def close_now(self) -> None:
        """Like `close`, for a program without an event loop."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(CLOSE_WITHIN)
        with self._changed:
            left = len(self._waiting)
            self._waiting.clear()
        if left:
            self._drop(left, "the collector did not take them before the end")
        self._exporter.shutdown()
        self._thread.join(1)
        self._report("the collector did not take them")

    def _add(self, part: list[bytes]) -> bool:
        with self._changed:
            # An empty queue takes a part of any size.
            if self._waiting and len(self._waiting) + len(part) > MOST_WAITING:
                return False
            self._waiting.extend(part)
            self._changed.notify()
        return True

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                self._changed.wait_for(lambda: len(self._waiting) >= PART or self._closing, LINGER)
                part = [self._waiting.popleft() for _ in range(min(PART, len(self._waiting)))]
                if not part:
                    return
            self._failing = not self._exported(part)
            if self._failing:
                self._drop(len(part), "the collector did not take them")

    def _exported(self, part: list[bytes]) -> bool:
        try:
            return self._exporter.export(part)
        except Exception as error:
            log.warning("spans_not_exported", raised=type(error).__name__)
            return False

    def _drop(self, spans: int, why: str) -> None:
        self._on_dropped(spans)
        with self._changed:
            self._unreported += spans
        if time.monotonic() - self._reported >= LOG_EVERY:
            self._report(why)

    def _report(self, why: str) -> None:
        with self._changed:
            spans, self._unreported = self._unreported, 0
        if spans:
            self._reported = time.monotonic()
            self._reports_to(spans, why)
