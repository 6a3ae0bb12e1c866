"""What the demo publishes, and what every store must hold afterwards."""

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from headrace_cli.source_producer import SourceProducer, SourceRecord
from headrace_demo.catalogue.changes import changes, creations
from headrace_demo.catalogue.events import Change, Event

SEED = 1


@dataclass(slots=True)
class Story:
    """A catalogue of this size and what happens to it, each record made when it is published.

    `published`: the records so far.
    """

    products: int
    keywords: int
    change_count: int
    malformed: int
    published: list[Event] = field(default_factory=list)

    def load(self) -> Iterator[Event]:
        """The first version of every entity."""
        return creations(SEED, products=self.products, keywords=self.keywords, clock=_now)

    def changes(self) -> Iterator[Event]:
        """What happens afterwards: updates, deletes, duplicates, latecomers, and the malformed among them."""
        return changes(
            SEED,
            products=self.products,
            keywords=self.keywords,
            count=self.change_count,
            broken=self.malformed,
            clock=_now,
        )

    async def publish(self, events: Iterable[Event], producer: SourceProducer) -> AsyncIterator[int]:
        """Publishes the events; after each, how many have been published so far."""
        for event in events:
            await producer.publish(SourceRecord(event.kind, event.key, event.value))
            self.published.append(event)
            yield len(self.published)
        await producer.flush()

    def by_cause(self) -> dict[str, int]:
        """How many records there were of each cause."""
        counts: dict[str, int] = {}
        for event in self.published:
            cause = event.cause if isinstance(event, Change) else "malformed"
            counts[cause] = counts.get(cause, 0) + 1
        return counts


def _now() -> datetime:
    return datetime.now(UTC)
