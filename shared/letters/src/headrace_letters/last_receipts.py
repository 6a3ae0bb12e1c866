"""The last receipts of one entity. Receipts have no key, so this reads the end of their topic."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from aiokafka.errors import KafkaError
from pydantic import ValidationError
from pydantic_core import to_json

from headrace_clients.topic_reader import UnknownTopic, open_tail
from headrace_letters.letter import arrived
from headrace_schemas.fields import Kind
from headrace_schemas.receipts import Receipt, Receipts
from headrace_worker.settings import CommonSettings
from headrace_worker.stage import Unavailable

RECORDS_A_PARTITION = 2000
WITHIN_SECONDS = 5.0
CONNECT_SECONDS = 5.0
MAX_SHOWN = 50


@dataclass(frozen=True, slots=True)
class EntityReceipt:
    """One receipt, its worker and its time."""

    worker: str
    applied_at: datetime
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class LastReceipts:
    """`found`: newest first. `records`: the number of records read. `since`: the time of the oldest record. `complete`:
    whether it reached the end of every partition in time.
    """

    found: Sequence[EntityReceipt]
    records: int
    since: datetime | None
    complete: bool


class Wanted:
    """Finds the receipts of one entity. It parses only records that contain the bytes of the id."""

    def __init__(self, kind: Kind, id: str) -> None:
        self._kind = kind
        self._id = id
        self._bytes = to_json(id, inf_nan_mode="strings") if id.isprintable() else b""

    def among(self, value: bytes) -> list[EntityReceipt]:
        """The receipts of the entity and of its links in a record."""
        if self._bytes not in value:
            return []
        try:
            receipts = Receipts.model_validate_json(value)
        except ValidationError:
            return []
        return [
            EntityReceipt(receipts.worker, receipts.applied_at, receipt)
            for receipt in receipts.receipts
            if receipt.id == self._id and receipt.kind in (self._kind, "product_links", "relink")
        ]


async def last_receipts(
    settings: CommonSettings,
    kind: Kind,
    id: str,
    *,
    records: int = RECORDS_A_PARTITION,
    within: float = WITHIN_SECONDS,
) -> LastReceipts:
    """Reads the last `records` of each partition, for at most `within` seconds. Raises Unavailable."""
    try:
        async with asyncio.timeout(within + CONNECT_SECONDS):
            return await _read(settings, kind, id, records, within)
    except TimeoutError as error:
        raise Unavailable("kafka", f"the receipts cannot be read within {within + CONNECT_SECONDS:.0f} s") from error
    except (KafkaError, OSError, UnknownTopic) as error:
        raise Unavailable("kafka", f"the receipts cannot be read ({type(error).__name__})") from error


async def _read(settings: CommonSettings, kind: Kind, id: str, records: int, within: float) -> LastReceipts:
    wanted = Wanted(kind, id)
    found: list[EntityReceipt] = []
    count, oldest = 0, None
    async with open_tail(settings.kafka, settings.topics.receipts, records) as tail:
        deadline = time.monotonic() + within
        async for polled in tail.polls():
            for record in polled:
                count += 1
                oldest = record.timestamp if oldest is None else min(oldest, record.timestamp)
                found += wanted.among(record.value or b"")
            if time.monotonic() >= deadline:
                break
        complete = await tail.complete()
    found.sort(key=lambda reported: reported.applied_at, reverse=True)
    since = None if oldest is None else arrived(oldest).astimezone()
    return LastReceipts(found[:MAX_SHOWN], count, since, complete)
