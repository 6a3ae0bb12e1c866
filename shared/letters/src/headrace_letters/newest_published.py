"""The newest published version of an entity, as far as the end of its source topic tells.

The source topic has no index by key, so only the last records of each partition are read.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiokafka.errors import KafkaError
from pydantic import AwareDatetime, TypeAdapter, ValidationError
from pydantic_core import from_json

from headrace_clients.topic_reader import UnknownTopic, open_tail
from headrace_letters.failure_report import headers_of
from headrace_letters.letter import arrived
from headrace_letters.subject import subject
from headrace_runtime.trace_context import carried
from headrace_schemas.fields import Kind
from headrace_schemas.forget_record import Forget
from headrace_schemas.headers import SCHEMA, schema_pair
from headrace_worker.settings import CommonSettings

RECORDS_A_PARTITION = 1000
WITHIN_SECONDS = 3.0
_TIME: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)


@dataclass(frozen=True, slots=True)
class PublishedVersion:
    """The first record of a version on the source topic. `published_at`: its timestamp in Kafka. `occurred_at`,
    `trace_id` (32 hexadecimal digits): None if the record does not have them.
    """

    partition: int
    offset: int
    version: int
    deleted: bool
    published_at: datetime
    occurred_at: datetime | None
    trace_id: str | None


@dataclass(frozen=True, slots=True)
class NewestPublished:
    """`newest`: of the entity among the records that were read; None if there is none. `since`: the time of the oldest
    of them. `whole`: whether they are the whole topic. `problem`: why it could not be read to its end.
    `taken_back`: the versions that a record has taken back and that are not published again.
    """

    topic: str
    newest: PublishedVersion | None = None
    records: int = 0
    since: datetime | None = None
    whole: bool = False
    problem: str = ""
    taken_back: frozenset[int] = frozenset()

    @property
    def version(self) -> int | None:
        """The highest version that was read."""
        return self.newest.version if self.newest else None


async def newest_published(
    settings: CommonSettings,
    kind: Kind,
    id: str,
    *,
    records: int = RECORDS_A_PARTITION,
    within: float = WITHIN_SECONDS,
) -> NewestPublished:
    """Reads the last `records` of each partition, for at most `within` seconds. Never raises because of Kafka."""
    topic = settings.topics.source(kind)
    search = _Search(settings, topic, id.encode(errors="surrogatepass"), records)
    try:
        async with asyncio.timeout(within):
            return await search.read()
    except TimeoutError:
        return search.found(f"{topic} could not be read within {within:.0f} s")
    except (KafkaError, OSError, UnknownTopic) as error:
        return search.found(f"{topic} cannot be read ({type(error).__name__})")


class _Search:
    """One entity in the last records of a topic."""

    def __init__(self, settings: CommonSettings, topic: str, key: bytes, records: int) -> None:
        self._settings = settings
        self._topic = topic
        self._key = key
        self._most = records
        self._newest: PublishedVersion | None = None
        self._records = 0
        self._oldest: int | None = None
        self._taken_back: set[int] = set()

    def found(self, problem: str = "", whole: bool = False) -> NewestPublished:
        """What has been read so far."""
        since = None if self._oldest is None else arrived(self._oldest)
        return NewestPublished(
            self._topic, self._newest, self._records, since, whole, problem, frozenset(self._taken_back)
        )

    async def read(self) -> NewestPublished:
        """Reads to the end of the topic at the call."""
        async with open_tail(self._settings.kafka, self._topic, self._most) as tail:
            async for records in tail.polls():
                for record in records:
                    self._put(record)
            return self.found(whole=tail.whole)

    def _put(self, record: Any) -> None:
        self._records += 1
        self._oldest = record.timestamp if self._oldest is None else min(self._oldest, record.timestamp)
        if record.key == self._key:
            if forget := forget_in(record):
                self._taken_back.add(forget.version)
                if self._newest is not None and self._newest.version == forget.version:
                    self._newest = None
                return
            about = subject(record, headers_of(record), self._topic, self._settings.topics)
            self._taken_back -= {about.version}
            # Of a redelivered version the first record counts: it says since when the version was published.
            if about.version is not None and (self._newest is None or about.version > self._newest.version):
                self._newest = published_version(record, about.version)


def forget_in(record: Any) -> Forget | None:
    """The content of a record that takes a version back; None for any other record."""
    if headers_of(record).get(SCHEMA) != schema_pair(Forget)[1]:
        return None
    try:
        return Forget.model_validate_json(record.value or b"")
    except ValidationError:
        return None


def published_version(record: Any, version: int) -> PublishedVersion:
    """A source record of this version. Never raises, whatever the record contains."""
    fields, context = _fields(record.value), carried(record.headers)
    return PublishedVersion(
        partition=record.partition,
        offset=record.offset,
        version=version,
        deleted=record.value is None or fields.get("op") == "delete",
        published_at=arrived(record.timestamp),
        occurred_at=_time(fields.get("occurred_at")),
        trace_id=f"{context.trace_id:032x}" if context else None,
    )


def _fields(value: bytes | None) -> Mapping[str, Any]:
    try:
        fields = from_json(value or b"{}")
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _time(value: Any) -> datetime | None:
    try:
        return _TIME.validate_python(value)
    except ValidationError:
        return None
