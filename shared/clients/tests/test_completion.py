"""The consumer groups and topics that `wait` waits for, and the records that it counts as missing."""

from aiokafka import TopicPartition

from headrace_clients.completion import Missing, missing_records
from headrace_clients.group_lag import ConsumerGroup
from headrace_clients.topic_graph import levels, readers_of
from headrace_schemas.topics import Topics

TOPICS = Topics("t.")
LEVELS = levels(TOPICS, "m")
LINKS = "t.product-links"
REQUESTS = frozenset({"t.relink", "t.relink-bulk"})
READERS = [
    ConsumerGroup("embed", "t.embed", frozenset({"t.products", "t.keywords"}), "t.replay.embed"),
    ConsumerGroup(
        "elasticsearch", "t.elasticsearch", frozenset({"t.products", "t.keywords", LINKS}), "t.replay.elasticsearch"
    ),
    ConsumerGroup(
        "qdrant", "t.qdrant", frozenset({"t.products.embedded.m", "t.keywords.embedded.m"}), "t.replay.qdrant"
    ),
    ConsumerGroup("link", "t.link", REQUESTS, "t.replay.link"),
    ConsumerGroup("link", "t.link.receipts", frozenset({"t.receipts"})),
]


def test_a_derived_topic_has_a_later_level_than_its_source() -> None:
    first, second, *others = LEVELS
    assert first == {"t.products", "t.keywords"}
    assert second == {"t.products.embedded.m", "t.keywords.embedded.m"}
    assert [set(level) for level in dict.fromkeys(others)] == [{"t.receipts"}, REQUESTS, {LINKS}]


def test_a_sweep_is_followed_to_its_parts_and_to_their_requests() -> None:
    assert LEVELS.count(REQUESTS) == 3


def test_a_level_waits_for_the_readers_of_its_topics_and_for_their_replays() -> None:
    def waited_for(level: frozenset[str]) -> dict[str, frozenset[str]]:
        return {reader.name: reader.topics for reader in readers_of(level, READERS)}

    assert waited_for(LEVELS[0]) == {
        "t.embed": {"t.products", "t.keywords", "t.replay.embed"},
        "t.elasticsearch": {"t.products", "t.keywords", "t.replay.elasticsearch"},
    }
    assert waited_for(LEVELS[1]) == {"t.qdrant": {*LEVELS[1], "t.replay.qdrant"}}
    assert waited_for(LEVELS[-1]) == {"t.elasticsearch": {LINKS, "t.replay.elasticsearch"}}


def test_a_listener_has_no_replay_topic() -> None:
    (listener,) = readers_of(LEVELS[2], READERS)
    assert (listener.name, listener.topics) == ("t.link.receipts", frozenset({"t.receipts"}))


def missing(end: int, committed: int | None, start: int = 0) -> list[Missing]:
    partition = TopicPartition("t.products", 0)
    offsets = {} if committed is None else {partition: committed}
    return missing_records(READERS[0], {partition: start}, {partition: end}, offsets)


def test_uncommitted_records_are_missing() -> None:
    assert missing(end=10, committed=4) == [Missing("embed", "t.products", 6)]
    assert missing(end=10, committed=None) == [Missing("embed", "t.products", 10)]
    assert missing(end=10, committed=-1) == [Missing("embed", "t.products", 10)]


def test_records_published_after_the_call_do_not_count() -> None:
    assert missing(end=10, committed=12) == []


def test_records_that_retention_has_removed_do_not_count() -> None:
    assert missing(end=10, committed=None, start=10) == []
    assert missing(end=10, committed=3, start=8) == [Missing("embed", "t.products", 2)]


def test_topics_of_other_workers_do_not_count() -> None:
    partition = TopicPartition("t.products.embedded.m", 0)
    assert missing_records(READERS[0], {partition: 0}, {partition: 5}, {}) == []
