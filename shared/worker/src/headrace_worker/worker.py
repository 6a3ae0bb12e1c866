"""The definition of a worker, and of an observer, which runs beside the workers.

The entry-point group `headrace.workers` maps a worker's name to its definition.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Literal

from prometheus_client.registry import Collector

from headrace_worker.beside import Beside
from headrace_worker.deferred import Deferred
from headrace_worker.scan import Scan
from headrace_worker.settings import (
    CommonSettings,
    ProcessSettings,
    WorkerSettings,
    secret_file_names,
    variable_names,
)
from headrace_worker.stage import RawStage, Record, Stage
from headrace_worker.store import LinkStore, Store, Tables

ENTRY_POINT_GROUP = "headrace.workers"
OBSERVER_GROUP = "headrace.observers"
"""Maps an observer's name to its definition."""
SETTINGS_GROUP = "headrace.settings"
"""Maps the same names to the settings classes, so that all variables are known without importing the workers."""

DEAD_LETTERS = "dead_letters"
"""The worker that reads every dead-letter topic. It rejects nothing and has no dead-letter topic of its own."""

Step = Literal["embed", "write", "link"]
"""What the stage of a worker does: it computes vectors, writes to a store, or computes links."""


@dataclass(frozen=True)
class Listener:
    """A second consumer group of a worker, which reads reports and turns them into records for the worker's inputs.

    The group is named `<group of the worker>.<name>` and has its own stage and poll size; the path of a batch is the
    same. It publishes no receipts, because a receipt about a receipt would be one more report to read.
    """

    name: str
    inputs: Callable[[Any], Mapping[str, type[Record]]]
    stage: Callable[[Any], AbstractAsyncContextManager[Stage[Any]]]
    max_records: Callable[[Any], int]


@dataclass(frozen=True)
class RawInput:
    """The input of a worker that takes records undecoded. `pattern`: a regular expression for the topics' names."""

    pattern: Callable[[Any], str]
    stage: Callable[[Any], AbstractAsyncContextManager[RawStage]]


def _no_inputs(settings: Any) -> Mapping[str, type[Record]]:
    return {}


def _no_topics(settings: Any) -> Collection[str]:
    return ()


@dataclass(frozen=True)
class Worker:
    """One worker: what it reads, its stage, and the store that it writes, if it writes one.

    `settings`: its settings class, read from the environment. `inputs`: topic name to the model of its records.
    `step`: what its stages do, for traces and metrics; `database`: the system of its store, as OpenTelemetry names it
    (`db.system.name`). `stage`: opens the stage and its clients, and closes them on exit. `in_bulk`: those of the
    inputs whose records give way to those of the others: a poll takes few of them. A worker has either `inputs` and a
    `stage` or a `raw` input. `listener`: a second consumer group with its own stage and poll size. `store`: opens the
    read side of the products and keywords that the worker stores; `links`: that of the link sets; `tables`: opens
    anything else that it stores. `metrics`: those that only this worker has; its page of metrics has them beside
    those of every worker. `takes_canary`: whether the stage keeps the canary from users (`headrace_schemas.canary`);
    a worker that knows nothing of it never gets it. `by_model`: its consumer groups are those of the model, because
    the workers of two models read the same topics. `scan`: opens the ordered scan of the products and keywords, by
    which the store is compared with the topics; a store without one is not compared. `beside`: opens a second set of
    the objects of its store, for a rebuild.
    """

    name: str
    settings: type[WorkerSettings]
    inputs: Callable[[Any], Mapping[str, type[Record]]] = _no_inputs
    stage: Callable[[Any], AbstractAsyncContextManager[Stage[Any]]] | None = None
    store: Callable[[Any], Store] | None = None
    links: Callable[[Any], LinkStore] | None = None
    listener: Listener | None = None
    tables: Callable[[Any], Tables] | None = None
    raw: RawInput | None = None
    step: Step = "write"
    metrics: Sequence[Collector] = ()
    database: str | None = None
    takes_canary: bool = False
    by_model: bool = False
    scan: Callable[[Any], Scan] | None = None
    beside: Callable[[Any], Beside] | None = None
    in_bulk: Callable[[Any], Collection[str]] = _no_topics

    def import_libraries(self) -> None:
        """Imports what its stages and its store need. A process calls this before it limits the time of anything."""
        stages = [one.stage for one in (self, self.raw, self.listener) if one is not None]
        _resolve(*stages, self.store, self.links)

    def import_store_libraries(self) -> None:
        """The same for a process that only reads what its store contains."""
        _resolve(self.store, self.links)

    def group(self, settings: CommonSettings) -> str:
        """The name of its consumer group."""
        by_model = self.by_model or settings.groups_by_model
        return group_of_model(settings, self.name) if by_model else f"{settings.topic_prefix}{self.name}"

    def former_group(self, settings: CommonSettings) -> str | None:
        """The name of its group in releases without models in the names; None if the name is the same."""
        return f"{settings.topic_prefix}{self.name}" if self.by_model else None

    def listener_group(self, settings: CommonSettings) -> str:
        """The name of its listener's consumer group."""
        assert self.listener is not None, f"{self.name} has no listener"
        return f"{self.group(settings)}.{self.listener.name}"


@dataclass(frozen=True)
class Observer:
    """A process that runs beside the workers, as they do, and settles no records: it has no stage and no inputs.

    `application`: the ASGI application of these settings, with the routes of a worker. It works from the start of its
    lifespan to its end.
    """

    name: str
    settings: type[ProcessSettings]
    application: Callable[[Any], Callable[[Any, Any, Any], Awaitable[None]]]


def _resolve(*openers: object) -> None:
    for opener in openers:
        if isinstance(opener, Deferred):
            opener.resolve()


def group_of_model(settings: CommonSettings, worker: str) -> str:
    """The consumer group of a worker whose groups are named by model."""
    return f"{settings.topic_prefix}{worker}.{settings.model}"


def worker_names() -> list[str]:
    """The names of every installed worker, sorted."""
    return sorted(entry_point.name for entry_point in entry_points(group=ENTRY_POINT_GROUP))


def observer_names() -> list[str]:
    """The names of every installed observer, sorted."""
    return sorted(entry_point.name for entry_point in entry_points(group=OBSERVER_GROUP))


def process_names() -> list[str]:
    """What `headrace work` runs: every worker, and then every observer."""
    return [*worker_names(), *observer_names()]


def rejecting_names() -> list[str]:
    """The workers that publish dead letters, sorted: all except the worker that reads them."""
    return [name for name in worker_names() if name != DEAD_LETTERS]


def load_worker(name: str) -> Worker:
    """Imports one worker by its name, and no other.

    Raises LookupError if no worker of that name is installed.
    """
    for entry_point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        worker: Worker = entry_point.load()
        return worker
    raise LookupError(f"there is no worker {name!r}; installed are: {', '.join(worker_names())}")


def load_observer(name: str) -> Observer | None:
    """Imports one observer by its name; None if there is none of that name."""
    for entry_point in entry_points(group=OBSERVER_GROUP, name=name):
        observer: Observer = entry_point.load()
        return observer
    return None


def known_variables() -> set[str]:
    """Every environment variable that an installed worker reads."""
    classes = [WorkerSettings, *(entry_point.load() for entry_point in entry_points(group=SETTINGS_GROUP))]
    return {name for settings in classes for name in (*variable_names(settings), *secret_file_names(settings))}
