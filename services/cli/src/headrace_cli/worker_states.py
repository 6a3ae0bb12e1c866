"""Whether the installed workers run, and what those that can be reached report."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from aiokafka.admin import AIOKafkaAdminClient

from headrace_clients.group_lag import ConsumerGroup
from headrace_clients.kafka import client_options
from headrace_clients.worker_copies import groups_of, reports_of
from headrace_clients.worker_metrics import WorkerMetrics
from headrace_worker.settings import KafkaSettings


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One consumer group of a worker. `copies`: its members. `answering`: those whose /readyz was read.

    `problems`, `notes`: one line each, of all copies that answer. `conflicts`: their sum. `hosts`: of the members.
    `metrics`: of each copy that answers.
    """

    worker: str
    group: str
    copies: int
    answering: int
    problems: Sequence[str]
    notes: Sequence[str]
    conflicts: int
    hosts: Sequence[str] = ()
    metrics: Sequence[WorkerMetrics] = ()

    @property
    def state(self) -> Literal["not running", "not ready", "ready", "not known"]:
        """In two words."""
        if not self.copies:
            return "not running"
        if self.problems:
            return "not ready"
        return "ready" if self.answering else "not known"

    @property
    def line(self) -> str:
        """What to say of a worker that does not finish its records."""
        if not self.copies:
            return f"no copy of {self.worker} runs"
        if self.problems:
            return "; ".join(f"{self.worker}: {problem}" for problem in self.problems)
        if not self.answering:
            return f"{self.worker} runs in {_counted(self.copies)}; its /readyz cannot be read from here"
        return f"{self.worker} runs in {_counted(self.copies)} and reports no problem"


async def worker_states(settings: KafkaSettings, readers: Sequence[ConsumerGroup]) -> list[WorkerState]:
    """The state of each reader, once for each group. Raises what aiokafka raises."""
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        groups = await groups_of(admin, {reader.name for reader in readers})
    finally:
        await admin.close()
    reports = await reports_of(address for group in groups.values() for address in group.addresses)
    states = []
    for reader in {reader.name: reader for reader in readers}.values():
        addresses = groups[reader.name].addresses
        of_group = [reports[address] for address in addresses if address and address in reports]
        problems = dict.fromkeys(problem for report in of_group for problem in report.problems)
        notes = dict.fromkeys(note for report in of_group for note in report.notes)
        states.append(
            WorkerState(
                reader.worker,
                reader.name,
                copies=len(addresses),
                answering=len(of_group),
                problems=tuple(problems),
                notes=tuple(notes),
                conflicts=sum(report.conflicts for report in of_group),
                hosts=tuple(member.host for member in groups[reader.name].members),
                metrics=tuple(report.metrics for report in of_group),
            )
        )
    return states


def _counted(copies: int) -> str:
    return "one copy" if copies == 1 else f"{copies} copies"
