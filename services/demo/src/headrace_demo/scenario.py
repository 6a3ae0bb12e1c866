"""The records that the demo publishes."""

from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime

from headrace_cli.source_producer import SourceProducer, SourceRecord
from headrace_demo.catalogue.changes import changes, creations
from headrace_demo.catalogue.events import Change, Event

SEED = 1


class Scenario:
    """A catalogue of some size and the changes that follow. Each record is made when it is published.

    `published`: the records so far.
    """

    def __init__(self, products: int, keywords: int, change_count: int, malformed: int) -> None:
        self.products = products
        self.keywords = keywords
        self.change_count = change_count
        self.malformed = malformed
        self.published: list[Event] = []

    def creations(self) -> Iterator[Event]:
        """The first version of every entity."""
        return creations(SEED, products=self.products, keywords=self.keywords, clock=_now)

    def changes(self) -> Iterator[Event]:
        """The changes that follow: updates, deletes, duplicates and late changes, with malformed records among them."""
        return changes(
            SEED,
            products=self.products,
            keywords=self.keywords,
            count=self.change_count,
            malformed=self.malformed,
            clock=_now,
        )

    async def publish(self, events: Iterable[Event], producer: SourceProducer) -> AsyncIterator[int]:
        """Publishes the events; after each, yields how many have been published so far."""
        for event in events:
            await producer.publish(SourceRecord(event.kind, event.key, event.value))
            self.published.append(event)
            yield len(self.published)
        await producer.flush()

    def count_by_cause(self) -> dict[str, int]:
        """How many records there are of each cause."""
        counts: dict[str, int] = {}
        for event in self.published:
            cause = event.cause if isinstance(event, Change) else "malformed"
            counts[cause] = counts.get(cause, 0) + 1
        return counts


def _now() -> datetime:
    return datetime.now(UTC)
