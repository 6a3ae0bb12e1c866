"""The lag of every worker's consumer groups as seen from outside, so that it grows while a worker is stopped."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from headrace_canary.oldest_records import OldestRecords, open_oldest_records
from headrace_clients.group_lag import ConsumerGroup, GroupReader, open_group_reader
from headrace_worker.settings import KafkaSettings

log = structlog.get_logger(__name__)

INTERVAL = 5.0
ANSWER_WITHIN = 30.0
FORGOTTEN_AFTER = 60.0
"""Seconds without an answer of Kafka after which the lag is not known."""


class Lag(NamedTuple):
    """`oldest`: the time of the oldest uncommitted record, seconds since 1970; None if it is not known, or if there is
    none.
    """

    records: int
    oldest: float | None


class GroupLags(Collector):
    """The newest reading, with the ages at the time of the scrape."""

    def __init__(self) -> None:
        self._lags: dict[tuple[str, str], Lag] = {}
        self._read_at = 0.0

    def put(self, lags: dict[tuple[str, str], Lag]) -> None:
        """A reading, by group and topic."""
        self._lags, self._read_at = lags, time.monotonic()

    def clear(self) -> None:
        """Nothing is known."""
        self._lags = {}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """No value where none is known: a lag that cannot be read must not look like none."""
        records = GaugeMetricFamily(
            "headrace_group_lag", "Records that a consumer group has not committed", labels=["group", "topic"]
        )
        seconds = GaugeMetricFamily(
            "headrace_group_lag_seconds",
            "Age of the oldest record that a consumer group has not committed",
            labels=["group", "topic"],
        )
        known = time.monotonic() - self._read_at < FORGOTTEN_AFTER
        for (group, topic), lag in sorted(self._lags.items()) if known else ():
            records.add_metric([group, topic], lag.records)
            if lag.oldest is not None:
                seconds.add_metric([group, topic], max(0.0, time.time() - lag.oldest))
            elif not lag.records:
                seconds.add_metric([group, topic], 0.0)
        yield records
        yield seconds


async def read_regularly(settings: KafkaSettings, groups: Sequence[ConsumerGroup], lags: GroupLags) -> None:
    """Reads until it is cancelled; while Kafka does not answer it tries again."""
    while True:
        try:
            async with open_group_reader(settings) as reader, open_oldest_records(settings) as oldest:
                while True:
                    async with asyncio.timeout(ANSWER_WITHIN):
                        lags.put(await read(reader, oldest, groups))
                    await asyncio.sleep(INTERVAL)
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("group_lag_not_read", error=type(error).__name__)
        await asyncio.sleep(INTERVAL)


async def read(
    reader: GroupReader, oldest: OldestRecords, groups: Sequence[ConsumerGroup]
) -> dict[tuple[str, str], Lag]:
    """The lag by group and topic. Raises the errors of aiokafka."""
    lags: dict[tuple[str, str], Lag] = {}
    places: set[tuple[TopicPartition, int]] = set()
    for name, found in (await reader.read(groups)).items():
        places |= set(found.first.items())
        times = await oldest.times(found.first)
        for topic, records in found.lag.items():
            of_topic = [moment for partition, moment in times.items() if partition.topic == topic]
            lags[name, topic] = Lag(records, min(of_topic, default=None))
    oldest.keep(places)
    return lags
