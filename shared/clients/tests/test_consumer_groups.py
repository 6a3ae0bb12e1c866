"""How many records a group has left to read, decided without a server."""

from aiokafka import TopicPartition

from headrace_clients.consumer_groups import first_unread, unread

A, B, OTHER = TopicPartition("a", 0), TopicPartition("a", 1), TopicPartition("b", 0)


def test_the_records_between_what_is_committed_and_the_end_are_unread() -> None:
    assert unread({A: 0, B: 0, OTHER: 0}, {A: 10, B: 7, OTHER: 3}, {A: 4, B: 7, OTHER: 1}) == {"a": 6, "b": 2}


def test_a_partition_that_was_never_committed_is_unread_from_its_start() -> None:
    assert unread({A: 2}, {A: 10}, {}) == {"a": 8}
    assert unread({}, {A: 10}, {}) == {"a": 10}


def test_records_removed_by_retention_are_not_counted() -> None:
    assert unread({A: 6}, {A: 10}, {A: 4}) == {"a": 4}
    assert unread({A: 10}, {A: 10}, {A: 4}) == {"a": 0}


def test_records_read_beyond_the_end_are_not_counted() -> None:
    assert unread({A: 0, B: 0}, {A: 5, B: 5}, {A: 9, B: 1}) == {"a": 4}


def test_the_first_unread_record_is_the_committed_one_or_the_first_that_is_left() -> None:
    assert first_unread({A: 0, B: 6, OTHER: 0}, {A: 10, B: 7, OTHER: 3}, {A: 4, B: 5, OTHER: 3}) == {A: 4, B: 6}
    assert first_unread({A: 2}, {A: 3}, {}) == {A: 2}
    assert first_unread({A: 0}, {A: 5}, {A: 9}) == {}
