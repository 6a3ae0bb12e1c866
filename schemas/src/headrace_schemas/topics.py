"""The topics: their names, their cleanup policies, and the sizes of their records."""

from typing import Literal, NamedTuple

from headrace_schemas.fields import Kind

DEFAULT_PREFIX = "headrace."
DAY_MS = 24 * 60 * 60 * 1000
SOURCE_NAMES: dict[Kind, str] = {"product": "products", "keyword": "keywords"}
_SOURCES = tuple(SOURCE_NAMES.values())

FRAMING_BYTES = 65_536
"""Room for a record's headers and the framing of its batch, added to the limit of the record itself."""


class Topics(NamedTuple):
    """The names of the topics with one prefix. `model`: whose link requests are meant."""

    prefix: str = DEFAULT_PREFIX
    model: str = ""

    def source(self, kind: Kind) -> str:
        return self.prefix + SOURCE_NAMES[kind]

    def embedded(self, kind: Kind, model: str) -> str:
        return f"{self.prefix}{SOURCE_NAMES[kind]}.embedded.{model}"

    @property
    def receipts(self) -> str:
        return self.prefix + "receipts"

    @property
    def relink(self) -> str:
        """The link requests of the model: the worker `link` of each model answers its own."""
        return f"{self.former_relink}.{self.model}" if self.model else self.former_relink

    @property
    def relink_bulk(self) -> str:
        """The requests of the model that come in large numbers: they give way to those on `relink`."""
        return f"{self.prefix}relink-bulk.{self.model}" if self.model else f"{self.prefix}relink-bulk"

    @property
    def former_relink(self) -> str:
        """The requests of releases that named the topic without a model."""
        return self.prefix + "relink"

    @property
    def product_links(self) -> str:
        return self.prefix + "product-links"

    @property
    def pauses(self) -> str:
        return self.prefix + "pauses"

    def dead(self, worker: str) -> str:
        return f"{self.prefix}dead.{worker}"

    def replay(self, worker: str) -> str:
        return f"{self.prefix}replay.{worker}"


def is_source(topic: str) -> bool:
    """Whether the topic is one that the catalogue writes. Whatever the prefix is, no other topic ends like these."""
    return topic.endswith(_SOURCES)


class TopicSpec(NamedTuple):
    """One topic as `topics apply` creates it. `max_bytes`: the largest record batch it accepts."""

    name: str
    cleanup: Literal["compact", "delete"]
    max_bytes: int

    def config(self) -> dict[str, str]:
        """The topic's settings, as Kafka names them."""
        common = {"cleanup.policy": self.cleanup, "max.message.bytes": str(self.max_bytes)}
        if self.cleanup == "compact":
            # Compaction keeps the highest offset, not the highest version, so it must wait until late changes arrived.
            # The lag counts from a record's time, which must not be one that its producer set: a change of last year
            # would be compacted at once.
            return common | {
                "message.timestamp.type": "LogAppendTime",
                "min.compaction.lag.ms": str(14 * DAY_MS),
                "delete.retention.ms": str(30 * DAY_MS),
            }
        return common | {"retention.ms": str(14 * DAY_MS)}


def topic_specs(topics: Topics, model: str, workers: list[str], max_record_bytes: int) -> list[TopicSpec]:
    """Every topic of one installation. The records of derived and dead-letter topics contain a source record and more,
    so they may be twice as large as source records, and some framing.
    """
    doubled = 2 * max_record_bytes + FRAMING_BYTES
    source = [TopicSpec(topics.source(kind), "compact", max_record_bytes) for kind in SOURCE_NAMES]
    pauses = TopicSpec(topics.pauses, "compact", max_record_bytes)
    derived = [topics.embedded(kind, model) for kind in SOURCE_NAMES]
    derived += [topics.receipts, topics.relink, topics.relink_bulk, topics.product_links]
    derived += [name for worker in workers for name in (topics.dead(worker), topics.replay(worker))]
    return [*source, pauses] + [TopicSpec(name, "delete", doubled) for name in derived]
