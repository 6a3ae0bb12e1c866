"""Which requests a finished read has answered, decided without a server."""

import pytest

from headrace_link.coverage import Coverage
from headrace_link.log_ends import LogEnds
from headrace_link.records import Request, SweepMarker
from headrace_worker.settings import KafkaSettings
from headrace_worker.stage import Arrival

PARTITION = ("relink", 0)


def request(
    offset: int, product_id: str = "p", *, partition: int = 0, replayed: bool = False, republish: bool = False
) -> Request:
    return Request.model_validate(
        {"product_id": product_id, "republish": republish},
        context=Arrival("relink", partition, offset, replayed=replayed),
    )


@pytest.fixture
def coverage() -> Coverage:
    """A read of p that noted the end 10 of its partition has finished."""
    made = Coverage(LogEnds(KafkaSettings()))
    made.note([request(3)], {PARTITION: 10})
    return made


def test_a_read_covers_the_requests_below_the_noted_end(coverage: Coverage) -> None:
    assert coverage.covers(request(4))
    assert coverage.covers(request(9))
    assert not coverage.covers(request(10))


def test_a_read_covers_no_other_product_and_no_other_partition(coverage: Coverage) -> None:
    assert not coverage.covers(request(4, "q"))
    assert not coverage.covers(request(4, partition=1))
    marker = SweepMarker.model_validate({"sweep": True}, context=Arrival("relink", 0, 4, replayed=False))
    assert not coverage.covers(marker)


def test_a_read_covers_no_replayed_request(coverage: Coverage) -> None:
    assert not coverage.covers(request(4, replayed=True))


def test_a_read_covers_no_explicit_request(coverage: Coverage) -> None:
    assert not coverage.covers(request(4, republish=True))


def test_an_explicit_request_is_newer_than_every_other_for_the_product() -> None:
    explicit = [request(0, republish=True), request(4, republish=True), request(0, replayed=True)]
    assert max(request(0).version, request(2**61).version) < explicit[0].version
    assert [asked.version for asked in explicit] == sorted(asked.version for asked in explicit)


def test_an_earlier_end_does_not_replace_a_later_one(coverage: Coverage) -> None:
    coverage.note([request(2)], {PARTITION: 5})
    assert coverage.covers(request(9))


def test_an_end_is_kept_while_a_request_below_it_can_come(coverage: Coverage) -> None:
    coverage.forget([request(9)])
    assert coverage.covers(request(9))
    coverage.forget([request(10)])
    assert not coverage.covers(request(9))


def test_nothing_is_covered_before_the_first_read() -> None:
    assert not Coverage(LogEnds(KafkaSettings())).covers(request(0))


def test_the_ends_below_a_taken_request_are_forgotten_and_the_others_kept(coverage: Coverage) -> None:
    coverage.note([request(3, "q")], {PARTITION: 11})
    coverage.note([request(3, "r")], {PARTITION: 12})
    coverage.forget([request(4), request(11), request(9)])
    assert [coverage.covers(request(4, id)) for id in ("p", "q", "r")] == [False, False, True]


def test_the_end_after_the_first_request_of_a_partition_is_kept(coverage: Coverage) -> None:
    coverage.note([request(0, partition=1)], {("relink", 1): 1})
    coverage.forget([request(0, partition=1)])
    assert coverage.covers(request(0, partition=1))
