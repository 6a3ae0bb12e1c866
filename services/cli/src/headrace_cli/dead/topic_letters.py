"""Dead letters of Headrace, Kafka Connect or Spring Kafka, read directly from topics without the index."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from headrace_clients.topic_reader import open_topics
from headrace_letters.letter import Letter, read_letter
from headrace_letters.selection import Selection
from headrace_letters.twins import record_of
from headrace_worker.settings import CommonSettings


@dataclass(slots=True)
class TopicGroup:
    """The letters of one cause that are on the topics now. `records`: their source records."""

    fingerprint: str
    reason: str
    first: Letter
    last: Letter
    workers: Counter[str] = field(default_factory=Counter)
    records: set[str] = field(default_factory=set)


async def letters_on(
    settings: CommonSettings, topics: Sequence[str], selection: Selection
) -> AsyncIterator[tuple[Letter, Any]]:
    """Each letter with its record; partitions may be mixed. Raises UnknownTopic."""
    async with open_topics(settings.kafka, topics) as reader:
        async for record in reader.until_now():
            letter = read_letter(record, settings.topics)
            if selection.matches(letter):
                yield letter, record


async def groups_on(settings: CommonSettings, topics: Sequence[str], selection: Selection) -> list[TopicGroup]:
    """The groups by cause, the largest first."""
    groups: dict[str, TopicGroup] = {}
    async for letter, _ in letters_on(settings, topics, selection):
        group = groups.setdefault(letter.fingerprint, TopicGroup(letter.fingerprint, letter.reason, letter, letter))
        group.workers[letter.worker] += 1
        group.records.add(record_of(letter) or letter.id)
        group.first = min(group.first, letter, key=lambda one: one.failed_at)
        group.last = max(group.last, letter, key=lambda one: one.failed_at)
    return sorted(groups.values(), key=lambda group: -group.workers.total())
