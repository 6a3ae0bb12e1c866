"""What a copy of a worker announces to its consumer group, and from where it can be asked."""

import socket

import pytest
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment

from headrace_clients.copy_address import CopyAddress, announced, assignors
from headrace_clients.worker_copies import assigned, report_in
from headrace_worker.settings import HttpSettings

HERE = socket.gethostname()


def test_the_announced_address_is_read_from_the_members_metadata() -> None:
    (assignor,) = assignors(HttpSettings(host="0.0.0.0", port=9001))
    assert assignor.name == RoundRobinPartitionAssignor.name
    metadata = assignor.metadata(["t.products"])
    assert metadata.subscription == ["t.products"]
    assert announced(metadata.encode()) == CopyAddress(HERE, "0.0.0.0", 9001)


@pytest.mark.parametrize("metadata", [b"", b"\x00", RoundRobinPartitionAssignor.metadata(["t"]).encode()])
def test_other_members_have_announced_nothing(metadata: bytes) -> None:
    assert announced(metadata) is None


def test_a_worker_whose_port_is_not_known_announces_nothing() -> None:
    assert assignors(HttpSettings()) == [RoundRobinPartitionAssignor]


@pytest.mark.parametrize(
    ("address", "url"),
    [
        (CopyAddress(HERE, "127.0.0.1", 1), "http://127.0.0.1:1"),
        (CopyAddress("another", "127.0.0.1", 1), None),
        (CopyAddress("another", "localhost", 1), None),
        (CopyAddress("another", "0.0.0.0", 1), "http://10.0.0.7:1"),
        (CopyAddress("another", "10.1.1.1", 1), "http://10.1.1.1:1"),
        (CopyAddress("another", "worker-7", 1), "http://worker-7:1"),
        (CopyAddress(HERE, "::1", 1), "http://[::1]:1"),
    ],
)
def test_a_copy_on_another_machine_is_asked_only_at_an_address_that_reaches_it(
    address: CopyAddress, url: str | None
) -> None:
    assert address.url("10.0.0.7") == url


def test_a_report_has_the_problems_of_the_worker_and_of_its_listener() -> None:
    report = report_in(
        b'{"alive": true, "seconds_since_poll": 1, "problems": ["a"], "notes": ["n"],'
        b' "listener": {"alive": false, "seconds_since_poll": 200.5, "problems": ["b"]}}'
    )
    assert report.problems == ["a", "its loop has not run for 200.5 s", "b"]
    assert report.notes == ["n"]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b"null"])
def test_an_invalid_report_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"Expecting value|is not a worker's report"):
        report_in(body)


def test_the_partitions_of_a_member_are_read_from_its_assignment_and_none_from_anything_else() -> None:
    assignment = ConsumerProtocolMemberAssignment(0, [("t", [1, 0]), ("a", [2])], b"").encode()
    assert assigned(assignment) == [("a", 2), ("t", 0), ("t", 1)]
    for other in (b"", b"\x00\x00\x00", b"nonsense"):
        assert assigned(other) == []
