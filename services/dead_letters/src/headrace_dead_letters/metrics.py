"""The metrics that only the worker `dead_letters` has. They belong to the process, which runs one worker."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import structlog
from prometheus_client import Counter, Gauge

from headrace_schemas.headers import DEAD_REASONS
from headrace_schemas.receipts import ReceiptOutcome
from headrace_worker.stage import Unavailable
from headrace_worker.worker import rejecting_names

if TYPE_CHECKING:
    from headrace_letters.index import LetterIndex
    from headrace_letters.reason_counts import Alike
    from headrace_letters.replay_answers import ReplayAnswer

log = structlog.get_logger(__name__)

EVERY_SECONDS = 10.0
LABELS = ("failed_worker", "cause_kind")
WAITING = Gauge("headrace_dead_letters_waiting", "Letters that wait", LABELS, registry=None)
PARKED = Gauge("headrace_dead_letters_parked", "Letters that are parked", LABELS, registry=None)
REPLAYS = Counter("headrace_replays", "Replays that have their answer", ["outcome"], registry=None)
ALL = (WAITING, PARKED, REPLAYS)

OUTCOMES: dict[ReceiptOutcome, str] = {
    "applied": "resolved",
    "superseded": "superseded",
    "conflict": "superseded",
    "ignored": "resolved",
    "dead": "dead",
}


def count_replays(answers: "Iterable[ReplayAnswer]") -> None:
    """Counts the answers of replays. An answer that is read again after a crash counts again."""
    for answer in answers:
        REPLAYS.labels(OUTCOMES[answer.outcome]).inc()


async def count_letters_regularly(index: "LetterIndex") -> None:
    """Reads the numbers of letters now and every EVERY_SECONDS, until it is cancelled. While the index does not answer
    there are none: old numbers would look like the present ones.
    """
    while True:
        try:
            show(await index.reason_counts())
        except Unavailable as error:
            show({})
            log.info("letters_not_counted", store=error.store)
        await asyncio.sleep(EVERY_SECONDS)


def show(counts: "Mapping[Alike, int]") -> None:
    """Sets both gauges. A worker that is not installed, or a reason that is none of ours, is "other": anybody may write
    these into a letter, and each would be a time series.
    """
    workers, gauges = {*rejecting_names()}, {"waiting": WAITING, "parked": PARKED}
    for gauge in gauges.values():
        gauge.clear()
    for (worker, reason, status), letters in counts.items():
        if status in gauges:
            of = (worker if worker in workers else "other", reason if reason in DEAD_REASONS else "other")
            gauges[status].labels(*of).inc(letters)
