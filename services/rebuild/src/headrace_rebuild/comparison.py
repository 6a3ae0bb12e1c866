"""Compares a new store with what the source topics say, up to the position to which it was filled."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition

from headrace_clients.topic_reader import open_topics
from headrace_expected.differences import Comparison, Finding, StoredEntity
from headrace_expected.entities import Letter, Position, Rejected, fold, rejected_by
from headrace_letters.failure_report import headers_of
from headrace_letters.subject import subject
from headrace_runtime.decoder import Decoded, Decoder
from headrace_schemas.changes import CHANGES, Change
from headrace_schemas.fields import Kind
from headrace_schemas.forget_record import Forget
from headrace_schemas.headers import CONNECT_TOPIC
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.scan import Scan
from headrace_worker.settings import CommonSettings

Changes = list[tuple[Change | Forget, Position]]


async def differences(
    settings: CommonSettings,
    new: Scan,
    upto: Mapping[TopicPartition, int],
    rejected: Rejected,
    model: str | None,
) -> list[Finding]:
    """What is wrong in the new store. `upto`: by partition of the source topics, the end of what it was filled from.

    `model`: of its vectors, if it has any. Raises Unavailable, UnknownTopic and what aiokafka raises.
    """
    found: list[Finding] = []
    comparison = Comparison(rejected, model)
    for kind in SOURCE_NAMES:
        expected = fold(await _published(settings, kind, upto), rejected)
        stored = [one async for one in _stored(new, kind)]
        found += [one for one in comparison.differences(kind, expected, stored) if one.difference.wrong]
    return found


async def letters_of(settings: CommonSettings, workers: Sequence[str]) -> Rejected:
    """The versions that the dead letters of these workers excuse."""
    letters: list[Letter] = []
    for worker in workers:
        async with open_topics(settings.kafka, [settings.topics.dead(worker)]) as reader:
            async for record in reader.until_now():
                found = headers_of(record)
                topic = found.get(CONNECT_TOPIC, b"").decode(errors="replace")
                about = subject(record, found, topic, settings.topics)
                if about.kind in CHANGES and about.id is not None and about.version is not None:
                    kind: Kind = "product" if about.kind == "product" else "keyword"
                    letters.append(Letter(worker, kind, about.id, about.version))
    return rejected_by(letters, workers)


def with_own(rejected: Rejected, own: Iterable[tuple[Any, str, int]]) -> Rejected:
    """With the versions that the filling itself could not apply."""
    found = dict(rejected)
    for kind, id, version in own:
        found[kind, id] = found.get((kind, id), frozenset()) | {version}
    return found


async def _published(settings: CommonSettings, kind: Kind, upto: Mapping[TopicPartition, int]) -> Changes:
    topic = settings.topics.source(kind)
    limit = settings.kafka.max_record_bytes
    decoder = Decoder({topic: CHANGES[kind]}, "", on_null="ignore", accept_newer=True, max_record_bytes=limit)
    changes: Changes = []
    async with open_topics(settings.kafka, [topic]) as reader:
        async for record in reader.until_now():
            if record.offset >= upto[TopicPartition(record.topic, record.partition)]:
                continue
            read = decoder.decode(record)
            if isinstance(read, Decoded) and isinstance(read.change, Change | Forget):
                changes.append((read.change, Position(record.partition, record.offset)))
    return changes


async def _stored(new: Scan, kind: Kind) -> AsyncIterator[StoredEntity]:
    async for page in new.pages(kind):
        for one in page.rows:
            stored = one.stored
            yield StoredEntity(stored.id, stored.version, stored.deleted, stored.digest, stored.model)
