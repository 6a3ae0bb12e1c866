"""The copies of workers that run: the members of their consumer groups, and what each answers at /readyz."""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment

from headrace_clients.consumer_groups import NO_GROUPS_YET
from headrace_clients.copy_address import announced
from headrace_clients.worker_metrics import WorkerMetrics, read_metrics

ANSWER_SECONDS = 3.0
MAX_BYTES = 1_048_576
MOST_ASKED = 32
"""Copies that are asked at once."""


@dataclass(frozen=True, slots=True)
class Member:
    """A copy of a worker in its consumer group. `host`: the name of its machine if it announces one, else the address
    from which Kafka sees it. `url`: of its routes; None if it is not known or cannot be reached from here.
    `partitions`: those that it reads, as topic and number; none during a rebalance.
    """

    host: str
    url: str | None
    partitions: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group in Kafka. `state`: Stable, Empty, PreparingRebalance, …"""

    state: str
    members: Sequence[Member]

    @property
    def addresses(self) -> Sequence[str | None]:
        """The URL of each member, None where it is not known or cannot be reached from here."""
        return [member.url for member in self.members]


@dataclass(frozen=True, slots=True)
class Report:
    """What a copy reports, in lines for a person. `problems`: why it is not ready. `metrics`: its outcomes, its delays
    and its lag. `ready`: whether /readyz answers 200.
    """

    problems: Sequence[str] = ()
    notes: Sequence[str] = ()
    metrics: WorkerMetrics = field(default_factory=WorkerMetrics, compare=False)
    ready: bool = False

    @property
    def conflicts(self) -> int:
        """How many records since the start of the copy were conflicts."""
        return self.metrics.settled.get("conflict", 0)


async def groups_of(admin: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, Group]:
    """The groups by name; a group that does not exist has no members. Raises what aiokafka raises."""
    found = {}
    for name in names:
        try:
            (answer,) = await admin.describe_consumer_groups([name])
        except NO_GROUPS_YET:
            found[name] = Group("Dead", ())
            continue
        (described,) = answer.groups
        found[name] = Group(described[2], tuple(map(_member, described[5])))
    return found


async def reports_of(addresses: Iterable[str | None]) -> Mapping[str, Report]:
    """The report of each copy that answers, by its address."""
    known = sorted({address for address in addresses if address is not None})[:MOST_ASKED]
    async with httpx.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False) as http:
        reports = await asyncio.gather(*(_report(http, address) for address in known))
    return {address: report for address, report in zip(known, reports, strict=True) if report is not None}


async def report_of(http: httpx.AsyncClient, address: str) -> Report:
    """The answers of /readyz and /metrics of one copy. Raises httpx.HTTPError if it does not answer, and ValueError if
    the answers are not a worker's.
    """
    status, body = await read_route(http, f"{address}/readyz")
    _, metrics = await read_route(http, f"{address}/metrics")
    return replace(report_in(body), ready=status == 200, metrics=read_metrics(metrics))


async def read_route(http: httpx.AsyncClient, url: str) -> tuple[int, bytes]:
    """The status and the body of a route of a worker. Raises httpx.HTTPError, or ValueError above `MAX_BYTES`."""
    body = bytearray()
    async with http.stream("GET", url) as answer:
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > MAX_BYTES:
                raise ValueError("the answer is too large for a worker")
    return answer.status_code, bytes(body)


def report_in(body: bytes) -> Report:
    """The body of /readyz, of a worker and of its listener. Raises ValueError if it is something else."""
    try:
        body_of_worker = json.loads(body)
        parts = [body_of_worker, body_of_worker["listener"]] if "listener" in body_of_worker else [body_of_worker]
        return Report(
            [line for part in parts for line in _problems(part)],
            [str(note) for part in parts for note in part.get("notes", ())],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("the answer of /readyz is not a worker's report") from error


def _problems(part: Any) -> list[str]:
    loop = [] if part["alive"] else [f"its loop has not run for {part['seconds_since_poll']} s"]
    return loop + [str(problem) for problem in part["problems"]]


async def _report(http: httpx.AsyncClient, address: str) -> Report | None:
    try:
        return await report_of(http, address)
    except (httpx.HTTPError, ValueError):
        return None


def _member(member: Any) -> Member:
    _, _, client_host, metadata, assignment, *_ = member
    # Kafka writes the host as its Java runtime does: "/10.0.0.1".
    seen_from = str(client_host).rpartition("/")[2]
    address = announced(bytes(metadata or b""))
    url = address.url(seen_from) if address else None
    return Member(address.machine if address else seen_from, url, assigned(bytes(assignment or b"")))


def assigned(assignment: bytes) -> list[tuple[str, int]]:
    """The partitions in a member's assignment, as topic and number; none while it has no assignment."""
    try:
        decoded = ConsumerProtocolMemberAssignment.decode(assignment)
        return sorted((topic, number) for topic, numbers in decoded.assignment for number in numbers)
    except (ValueError, TypeError, IndexError):
        return []
