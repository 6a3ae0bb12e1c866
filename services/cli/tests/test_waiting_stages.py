"""Which consumer groups `wait` waits for, on which topics, and what it counts as missing."""

from aiokafka import TopicPartition

from headrace_cli.waiting import Missing, Reader, missing_records, readers_of, stages
from headrace_schemas.topics import Topics

TOPICS = Topics("t.")
FIRST, SECOND = stages(TOPICS, "m")
READERS = [
    Reader("embed", "t.embed", frozenset({"t.products", "t.keywords"})),
    Reader("elasticsearch", "t.elasticsearch", frozenset({"t.products", "t.keywords"})),
    Reader("qdrant", "t.qdrant", frozenset({"t.products.embedded.m", "t.keywords.embedded.m"})),
]


def test_the_source_comes_before_what_is_made_from_it() -> None:
    assert {"t.products", "t.keywords"} == FIRST
    assert {"t.products.embedded.m", "t.keywords.embedded.m"} == SECOND


def test_a_stage_waits_for_whoever_reads_its_topics_and_for_what_is_replayed_to_them() -> None:
    assert [reader.worker for reader in readers_of(FIRST, READERS, TOPICS)] == ["embed", "elasticsearch"]
    (qdrant,) = readers_of(SECOND, READERS, TOPICS)
    assert qdrant.topics == {*SECOND, "t.replay.qdrant"}


def missing(end: int, committed: int | None, start: int = 0) -> list[Missing]:
    partition = TopicPartition("t.products", 0)
    return missing_records(READERS[0], {partition: start}, {partition: end}, {partition: committed})


def test_what_is_not_committed_is_missing() -> None:
    assert missing(end=10, committed=4) == [Missing("embed", "t.products", 6)]
    assert missing(end=10, committed=None) == [Missing("embed", "t.products", 10)]
    assert missing(end=10, committed=-1) == [Missing("embed", "t.products", 10)]


def test_what_came_after_the_call_is_not_waited_for() -> None:
    assert missing(end=10, committed=12) == []


def test_what_retention_has_removed_is_not_waited_for() -> None:
    assert missing(end=10, committed=None, start=10) == []
    assert missing(end=10, committed=3, start=8) == [Missing("embed", "t.products", 2)]


def test_topics_of_other_workers_do_not_count() -> None:
    partition = TopicPartition("t.products.embedded.m", 0)
    assert missing_records(READERS[0], {partition: 0}, {partition: 5}, {}) == []
