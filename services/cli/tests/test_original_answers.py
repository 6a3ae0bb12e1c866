"""An edit waits for every worker that may still have the letter's record to read."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition

from headrace_cli.dead import original_answers
from headrace_letters.installed_stores import InstalledStores
from headrace_letters.letter import Letter
from headrace_letters.letter_rows import IndexedLetter
from headrace_runtime.decoder import Position
from headrace_worker.settings import CommonSettings

SETTINGS = CommonSettings()
SOURCE = SETTINGS.topics.source("product")
EMBEDDED = SETTINGS.topics.embedded("product", SETTINGS.model)
NOW = datetime.now(UTC)
END = 10


class Consumer:
    """Two partitions for each topic, of ten records each."""

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(partitions, END)

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)


class Targets:
    """Every worker reads the products, and all but embed what it publishes."""

    def target(self, name: str) -> Any:
        return SimpleNamespace(inputs=(SOURCE,) if name in ("embed", "elasticsearch") else (EMBEDDED,))


def letter(topic: str, partition: int, replayed_at: datetime | None = None) -> IndexedLetter:
    failed = Position(topic, partition, 3)
    failure = ("refused_by_store", "f", "", 1, NOW, NOW)
    one = Letter(f"{failed}", "headrace", "qdrant", *failure, b"p", failed, failed, "product", "p", 1, 2)
    return IndexedLetter(one, "waiting", replayed_at, None, ())


async def test_a_letter_of_a_later_topic_waits_for_every_partition_of_the_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @asynccontextmanager
    async def clients(settings: object) -> AsyncIterator[tuple[Consumer, None]]:
        yield Consumer(), None

    async def partitions(settings: object, topics: Iterable[str]) -> list[TopicPartition]:
        return [TopicPartition(topic, number) for topic in topics for number in (0, 1)]

    async def committed(admin: object, group: str) -> Mapping[TopicPartition, int]:
        behind = {TopicPartition(SOURCE, 0): 0} if group.endswith("elasticsearch") else {}
        return {TopicPartition(topic, n): END for topic in (SOURCE, EMBEDDED) for n in (0, 1)} | behind

    monkeypatch.setattr(original_answers, "open_clients", clients)
    monkeypatch.setattr(original_answers, "partitions_of", partitions)
    monkeypatch.setattr(original_answers, "committed_offsets", committed)
    behind, done, later = letter(SOURCE, 0), letter(SOURCE, 1), letter(EMBEDDED, 1)
    replayed = letter(SOURCE, 1, NOW)
    chosen = [("product", one) for one in (behind, done, later, replayed)]
    stores = cast(InstalledStores, Targets())
    found = await original_answers.unanswered(SETTINGS, stores, cast(Any, chosen), 0.0)
    assert "elasticsearch has" in (found.why("product", behind) or "")
    assert "elasticsearch has" in (found.why("product", later) or "")
    assert found.why("product", done) is None
    assert "qdrant has 10 records of headrace.replay.qdrant" in (found.why("product", replayed) or "")
