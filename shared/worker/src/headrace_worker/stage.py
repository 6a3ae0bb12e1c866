"""The vocabulary of a worker: a stage gets changes and says, change by change, what became of each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

from headrace_schemas.fields import RecordKind
from headrace_schemas.headers import DeadReason


class Record(Protocol):
    """What the runtime needs to know of a record: which entity it is about, and which of two is newer.

    A record that has no version of its own takes its place in its topic for one: it is validated with an `Arrival` for
    its context. Two class attributes are for topics of our own: `keyed = False` says that the records have no key, and
    `beside` names the other records on the same topic, told apart by the header `headrace-schema`.
    """

    @property
    def kind(self) -> RecordKind: ...
    @property
    def id(self) -> str: ...
    @property
    def version(self) -> int: ...


class Arrival(NamedTuple):
    """Where a record was read. `replayed`: an operator sent it again, so its offset says nothing about its age."""

    topic: str
    partition: int
    offset: int
    replayed: bool


@dataclass(frozen=True, slots=True)
class Output:
    """A record that follows from a change. The runtime adds its trace headers and awaits the acknowledgement."""

    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Applied:
    """The change is durable and readable in the store, or was already (a redelivery after a crash finds it so)."""

    outputs: tuple[Output, ...] = ()


@dataclass(frozen=True, slots=True)
class Superseded:
    """The store already holds a newer version, `by` where it is known. Not an error."""

    by: int | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The change can never succeed as it is: it becomes a dead letter.

    `detail` is for a person and may hold values; `cause` names the error's kind and place (an error type and a field,
    an SQLSTATE) and never a value, because dead letters are grouped by it. `error`: the exception behind it, if one is,
    for the letter's stack trace.
    """

    reason: DeadReason
    detail: str
    cause: tuple[str, ...] = ()
    error: Exception | None = field(default=None, compare=False)


class Unavailable(Exception):
    """Nothing can be said yet: the store is down, slow or overloaded. Nothing is committed, nothing dead-lettered.

    Raised, it speaks of the whole batch; returned as an outcome, of one change. `suspect` says that the store answered
    and failed (a 500), so that one change among the batch may be what breaks it.
    """

    def __init__(self, store: str, detail: str, *, suspect: bool = False) -> None:
        super().__init__(f"{store}: {detail}")
        self.store = store
        self.detail = detail
        self.suspect = suspect


class BatchRejected(Exception):
    """The store refused the batch for its data and did not say which change: the runtime bisects until it is found.

    With a single change in the batch it is that change's `Rejected`.
    """

    def __init__(self, rejection: Rejected) -> None:
        super().__init__(rejection.detail)
        self.rejection = rejection


Outcome = Applied | Superseded | Rejected | Unavailable
R_contra = TypeVar("R_contra", bound=Record, contravariant=True)


class Stage(Protocol[R_contra]):
    """What one worker does. Everything else (decoding, retry, dead letters, receipts, commit) is the runtime's."""

    async def apply(self, changes: Sequence[R_contra]) -> Sequence[Outcome]:
        """What became of each change, in the order given.

        The runtime gives at most one change for each (kind, id). A stage may assume neither order between calls nor
        that a change is new: fenced writes make repeating harmless.

        Raises Unavailable when nothing can be said about the batch, BatchRejected when the store refused it for its
        data without naming a change.
        """
        ...

    async def check(self) -> None:
        """Raises Unavailable unless the store answers."""
        ...


@runtime_checkable
class RepairsHoles(Protocol):
    """A stage that can make up for records which expired before it read them."""

    def after_a_hole(self) -> Sequence[Output]:
        """What to publish, before anything else is committed."""
        ...
