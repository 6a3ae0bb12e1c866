"""The graph of topics from the catalogue to the stores, and which worker reads which topic."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from headrace_schemas.topics import SOURCE_NAMES, Topics
from headrace_worker.opened_stores import workers
from headrace_worker.settings import CommonSettings
from headrace_worker.worker import DEAD_LETTERS, rejecting_names


@dataclass(frozen=True, slots=True)
class Reader:
    """A worker as a consumer group, and the topics that it reads. `replay`: its topic of replays, if it has one."""

    worker: str
    group: str
    topics: frozenset[str]
    replay: str | None = None


def levels(topics: Topics, model: str) -> list[frozenset[str]]:
    """The topics in the order of the records' way; what the readers of one level write belongs to a later level."""
    return [
        frozenset(topics.source(kind) for kind in SOURCE_NAMES),
        frozenset(topics.embedded(kind, model) for kind in SOURCE_NAMES),
        frozenset({topics.receipts}),
        *relink_levels(topics),
        frozenset({topics.product_links}),
    ]


def relink_levels(topics: Topics) -> list[frozenset[str]]:
    """The levels from a relink request or a sweep to published link sets.

    A sweep becomes the sweeps of its parts, and those become requests. All of them are on one topic, so that topic is
    three levels.
    """
    return [frozenset({topics.relink})] * 3


def installed_readers(settings: CommonSettings) -> list[Reader]:
    """Every installed worker that has a stage, with the topics that it declares."""
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
    """The listeners of the installed workers: what they read beside their inputs, and publish no receipts of."""
    return [
        Reader(
            worker.name,
            f"{settings.topic_prefix}{worker.name}.{worker.listener.name}",
            frozenset(worker.listener.inputs(worker.settings())),
        )
        for worker in workers()
        if worker.listener is not None
    ]


def letter_reader(settings: CommonSettings) -> Reader:
    """The worker that reads every dead letter, and the receipts."""
    topics = {settings.topics.receipts, *map(settings.topics.dead, rejecting_names())}
    return Reader(DEAD_LETTERS, f"{settings.topic_prefix}{DEAD_LETTERS}", frozenset(topics))


def readers_of(level: frozenset[str], readers: Sequence[Reader]) -> list[Reader]:
    """The readers of any topic of the level, each with those topics and with its topic of replays."""
    return [
        replace(reader, topics=reader.topics & level | ({reader.replay} if reader.replay else set()))
        for reader in readers
        if reader.topics & level
    ]
