"""The consumer groups of a worker: that of its inputs, and that of its listener if it has one."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from headrace_runtime.health import Health
from headrace_worker.settings import WorkerSettings
from headrace_worker.stage import Record
from headrace_worker.worker import Worker


@dataclass(frozen=True)
class Group:
    """A consumer group of a worker. It reads `topics`, or every topic that matches `pattern`.

    `inputs`: topic to the model of its records; empty if they are not decoded. `receipts`: whether it publishes any.
    `former`: the group of earlier releases whose offsets it takes over. `in_bulk`: see Worker.
    """

    name: str
    open_stage: Callable[[Any], AbstractAsyncContextManager[Any]]
    max_records: int
    health: Health
    inputs: Mapping[str, type[Record]] = field(default_factory=dict)
    topics: Sequence[str] = ()
    pattern: str | None = None
    receipts: bool = False
    former: str | None = None
    in_bulk: Collection[str] = ()


def consumer_groups(worker: Worker, settings: WorkerSettings) -> list[Group]:
    """The group of the worker's inputs, and that of its listener if it has one."""
    name, size = worker.group(settings), settings.batch.max_records

    def health() -> Health:
        return Health(alive_within=3 * settings.batch.give_back_after)

    if worker.raw is not None:
        return [Group(name, worker.raw.stage, size, health(), pattern=worker.raw.pattern(settings))]
    assert worker.stage is not None, "a worker has a stage or takes raw records"
    inputs = worker.inputs(settings)
    topics = (*inputs, settings.topics.replay(worker.name))
    former = worker.former_group(settings)
    in_bulk = worker.in_bulk(settings)
    groups = [Group(name, worker.stage, size, health(), inputs, topics, receipts=True, former=former, in_bulk=in_bulk)]
    if (listener := worker.listener) is not None:
        reports = listener.inputs(settings)
        size = listener.max_records(settings)
        name, former = worker.listener_group(settings), former and f"{former}.{listener.name}"
        groups.append(Group(name, listener.stage, size, health(), reports, tuple(reports), former=former))
    return groups
