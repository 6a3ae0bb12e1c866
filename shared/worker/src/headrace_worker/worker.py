"""A worker as it announces itself: the entry-point group `headrace.workers` maps a name to one of these."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from headrace_worker.settings import WorkerSettings, variable_names
from headrace_worker.stage import Record, Stage
from headrace_worker.store import Kept, LinkStore, Store

ENTRY_POINT_GROUP = "headrace.workers"
SETTINGS_GROUP = "headrace.settings"
"""Maps the same names to the settings classes, so that knowing every variable imports no other worker."""

DEAD_LETTERS = "dead_letters"
"""The worker that reads every dead-letter topic, refuses nothing and so has none of its own."""


@dataclass(frozen=True)
class Listener:
    """What a worker reads beside its inputs: reports that tell it which records to write for itself.

    Its consumer group is `<worker>.<name>`, and it has a stage and a size of a poll of its own; the path of a batch is
    the same. No receipts are written about what it reads: a receipt about a receipt would be one more to read.
    """

    name: str
    inputs: Callable[[Any], Mapping[str, type[Record]]]
    stage: Callable[[Any], AbstractAsyncContextManager[Stage[Any]]]
    max_records: Callable[[Any], int]


def _nothing(settings: Any) -> Mapping[str, type[Record]]:
    return {}


@dataclass(frozen=True)
class Worker:
    """One worker: what it reads, how its stage is opened, and the store it keeps, if it keeps one.

    `settings`: its settings class, read from the environment. `inputs`: topic name to the record's model.
    `stage`: opens the clients and gives the stage; closes them on exit. `store`: opens the read side of the products
    and keywords that it keeps; `links`: of the link sets. `listener`: what it reads to learn what it has to do.
    A worker that takes records undecoded has no stage: it gives the `application` that `runtime.app` makes of the
    others. `tables`: opens what it keeps that is neither entities nor links.
    """

    name: str
    settings: type[WorkerSettings]
    inputs: Callable[[Any], Mapping[str, type[Record]]] = _nothing
    stage: Callable[[Any], AbstractAsyncContextManager[Stage[Any]]] | None = None
    store: Callable[[Any], Store] | None = None
    links: Callable[[Any], LinkStore] | None = None
    listener: Listener | None = None
    tables: Callable[[Any], Kept] | None = None
    application: Callable[[Any], Any] | None = None


def worker_names() -> list[str]:
    """The names of every installed worker, sorted."""
    return sorted(entry_point.name for entry_point in entry_points(group=ENTRY_POINT_GROUP))


def rejecting_names() -> list[str]:
    """The workers whose rejects have topics of their own, sorted: all but the one that reads those topics."""
    return [name for name in worker_names() if name != DEAD_LETTERS]


def load_worker(name: str) -> Worker:
    """Imports one worker by its name, and no other.

    Raises LookupError if none of that name is installed.
    """
    for entry_point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        worker: Worker = entry_point.load()
        return worker
    raise LookupError(f"there is no worker {name!r}; installed are: {', '.join(worker_names())}")


def known_variables() -> set[str]:
    """Every environment variable that an installed worker reads."""
    classes = [entry_point.load() for entry_point in entry_points(group=SETTINGS_GROUP)]
    return {name for settings in [WorkerSettings, *classes] for name in variable_names(settings)}
