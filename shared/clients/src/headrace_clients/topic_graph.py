"""The graph of topics from the catalogue to the stores, and which consumer groups read which topic."""

from collections.abc import Sequence
from dataclasses import replace

from headrace_clients.group_lag import ConsumerGroup
from headrace_schemas.topics import SOURCE_NAMES, Topics


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

    A sweep becomes the sweeps of its parts, and those become requests. All of them are on the same two topics, so these
    are three levels.
    """
    return [frozenset({topics.relink, topics.relink_bulk})] * 3


def readers_of(level: frozenset[str], groups: Sequence[ConsumerGroup]) -> list[ConsumerGroup]:
    """The groups that read any topic of the level, each with those topics and with its topic of replays."""
    return [
        replace(group, topics=replace(group, topics=group.topics & level).all_topics)
        for group in groups
        if group.topics & level
    ]
