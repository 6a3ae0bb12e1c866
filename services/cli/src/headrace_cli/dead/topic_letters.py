"""Dead letters read straight from topics, ours or those of Kafka Connect and Spring Kafka, without the index."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from headrace_clients.topic_reader import open_topics
from headrace_letters.letter import Letter, read_letter
from headrace_letters.selection import Selection
from headrace_worker.settings import CommonSettings


@dataclass(slots=True)
class TopicGroup:
    """The letters of one cause that lie on the topics now."""

    fingerprint: str
    reason: str
    first: Letter
    last: Letter
    workers: Counter[str] = field(default_factory=Counter)


async def letters_on(
    settings: CommonSettings, topics: Sequence[str], selection: Selection
) -> AsyncIterator[tuple[Letter, Any]]:
    """Each letter with its record, in no order between partitions. Raises UnknownTopic."""
    async with open_topics(settings.kafka, topics) as reader:
        async for record in reader.until_now():
            letter = read_letter(record, settings.topics)
            if matches(letter, selection):
                yield letter, record


def matches(letter: Letter, selection: Selection) -> bool:
    """Whether a letter is chosen. What lies on a topic waits, as far as the topic says."""
    wanted = selection
    return (
        (wanted.worker is None or wanted.worker == letter.worker)
        and (wanted.reason is None or wanted.reason == letter.reason)
        and (wanted.fingerprint is None or wanted.fingerprint == letter.fingerprint)
        and (wanted.since is None or letter.failed_at >= wanted.since)
        and (wanted.until is None or letter.failed_at < wanted.until)
        and (wanted.key is None or wanted.key == letter.key)
        and (wanted.status is None or "waiting" in wanted.status)
        and (wanted.ids is None or letter.id in wanted.ids)
    )


async def groups_on(settings: CommonSettings, topics: Sequence[str], selection: Selection) -> list[TopicGroup]:
    """By cause, the largest first."""
    groups: dict[str, TopicGroup] = {}
    async for letter, _ in letters_on(settings, topics, selection):
        group = groups.setdefault(letter.fingerprint, TopicGroup(letter.fingerprint, letter.reason, letter, letter))
        group.workers[letter.worker] += 1
        group.first = min(group.first, letter, key=lambda one: one.failed_at)
        group.last = max(group.last, letter, key=lambda one: one.failed_at)
    return sorted(groups.values(), key=lambda group: -group.workers.total())
