"""The graph of topics from the catalogue to the stores, and which worker reads which topic."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from headrace_cli.installed_stores import workers
from headrace_schemas.topics import SOURCE_NAMES, Topics
from headrace_worker.settings import CommonSettings


@dataclass(frozen=True, slots=True)
class Reader:
    """A worker as a consumer group, and the topics that it reads. `replay`: where what an operator replays to it is."""

    worker: str
    group: str
    topics: frozenset[str]
    replay: str | None = None


def stages(topics: Topics, model: str) -> list[frozenset[str]]:
    """The topics from the catalogue to the stores; what a stage's readers write is read in a later stage.

    A sweep marker becomes markers of its parts, and those become requests, all on one topic: it is walked three times.
    """
    return [
        frozenset(topics.source(kind) for kind in SOURCE_NAMES),
        frozenset(topics.embedded(kind, model) for kind in SOURCE_NAMES),
        frozenset({topics.receipts}),
        *relinking(topics),
        frozenset({topics.product_links}),
    ]


def relinking(topics: Topics) -> list[frozenset[str]]:
    """The stages from a request, or a sweep, to link sets that are published."""
    return [frozenset({topics.relink})] * 3


def installed_readers(settings: CommonSettings) -> list[Reader]:
    """Every installed worker that settles changes, with the topics that it says it reads."""
    return [
        Reader(
            worker.name,
            f"{settings.topic_prefix}{worker.name}",
            frozenset(worker.inputs(worker.settings())),
            settings.topics.replay(worker.name),
        )
        for worker in workers()
        if worker.stage is not None
    ]


def installed_listeners(settings: CommonSettings) -> list[Reader]:
    """What installed workers read beside that, to learn what they have to do; no receipts tell of it."""
    return [
        Reader(
            worker.name,
            f"{settings.topic_prefix}{worker.name}.{worker.listener.name}",
            frozenset(worker.listener.inputs(worker.settings())),
        )
        for worker in workers()
        if worker.listener is not None
    ]


def readers_of(stage: frozenset[str], readers: Sequence[Reader]) -> list[Reader]:
    """Who reads any of the stage's topics, with those topics and with what an operator replays to that worker."""
    return [
        replace(reader, topics=reader.topics & stage | ({reader.replay} if reader.replay else set()))
        for reader in readers
        if reader.topics & stage
    ]
