"""What keeps a worker from its records: whether it runs, what its copies report, and its lag."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from headrace_clients.group_lag import ConsumerGroup, GroupLag, installed_groups, open_group_reader
from headrace_clients.worker_copies import Report, reports_of
from headrace_worker.settings import CommonSettings


@dataclass(frozen=True, slots=True)
class WorkerCondition:
    """`copies`: that run. `answering`: whether one of them said how it is. `problems`: in words, each with its time.

    `lag`: the records that are not committed, by topic.
    """

    copies: int
    answering: bool
    problems: Sequence[str]
    lag: Mapping[str, int]


async def worker_conditions(settings: CommonSettings) -> dict[str, WorkerCondition]:
    """The condition of every installed worker, by name. Raises what aiokafka raises."""
    groups = await asyncio.to_thread(installed_groups, settings)
    async with open_group_reader(settings.kafka) as reader:
        lags = await reader.read(groups)
    reports = await reports_of(address for lag in lags.values() for address in lag.addresses)
    return {worker: _condition(worker, groups, lags, reports) for worker in {group.worker for group in groups}}


def condition_of(lags: Iterable[GroupLag], problems: Sequence[str] | None) -> WorkerCondition:
    """`lags`: of the worker's consumer groups. `problems`: what its copies report; None if none answers."""
    found = list(lags)
    lag: dict[str, int] = {}
    for one in found:
        for topic, records in one.lag.items():
            lag[topic] = lag.get(topic, 0) + records
    copies = min((one.members for one in found), default=0)
    return WorkerCondition(copies, problems is not None, tuple(problems or ()), lag)


def _condition(
    worker: str, groups: Sequence[ConsumerGroup], lags: Mapping[str, GroupLag], reports: Mapping[str, Report]
) -> WorkerCondition:
    of_worker = [lags[group.name] for group in groups if group.worker == worker]
    said = [reports[address] for lag in of_worker for address in lag.addresses if address in reports]
    problems = dict.fromkeys(problem for report in said for problem in report.problems)
    return condition_of(of_worker, list(problems) if said else None)
