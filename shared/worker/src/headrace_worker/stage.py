"""The vocabulary of a worker: a stage applies changes and returns an outcome for each of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

from headrace_schemas.fields import RecordKind
from headrace_schemas.forget_record import Forget
from headrace_schemas.headers import DeadReason


class Record(Protocol):
    """What the runtime needs of a decoded record: which entity it is about, and which of two records is newer.

    A record without a version uses its offset as its version: its model is validated with an `Arrival` as context.
    Three class attributes are for internal topics: `keyed = False` means that the records have no key, `beside` lists
    the models of other records on the same topic, which the header `headrace-schema` names, and `takes_replays = True`
    means that a replay is a new record on this topic.
    """

    @property
    def kind(self) -> RecordKind: ...
    @property
    def id(self) -> str: ...
    @property
    def version(self) -> int: ...


class Arrival(NamedTuple):
    """Where a record was read. `replayed`: an operator sent it again, so its offset is not its age.

    `headers`: of the record. What is made from it carries its trace, too.
    """

    topic: str
    partition: int
    offset: int
    replayed: bool
    headers: Sequence[tuple[str, bytes | None]] = ()


@dataclass(frozen=True, slots=True)
class Output:
    """A record to publish for a change. The runtime adds the trace headers and waits for the acknowledgement.

    If `headers` has a `traceparent`, the output continues that trace, and `also_from` has the `traceparent` of further
    changes that it is made from: their traces are linked to it.
    """

    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()
    also_from: tuple[bytes, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Applied:
    """The change is durable and readable in the store, possibly from an earlier delivery.

    `without_work`: the answer needed no write and no model, so it does not show that these are quick.
    """

    outputs: tuple[Output, ...] = ()
    without_work: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Superseded:
    """The store already has a newer version; `by` is that version if it is known. Not an error."""

    by: int | None = None


@dataclass(frozen=True, slots=True)
class Conflict:
    """The store has other content under the same version, and keeps it. The catalogue published both changes."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The change can never succeed: it becomes a dead letter.

    `detail` is for a person and may contain values. `cause` is the kind and the place of the error (an error type and a
    field, an SQLSTATE) and contains no value, because dead letters are grouped by it. `error`: the exception behind the
    rejection, if any, for the letter's stack trace. `may_hold`: whether many rejections of this cause hold a topic.
    `words`: the cause for a person, also without a value; without them the reason and the cause are shown.
    """

    reason: DeadReason
    detail: str
    cause: tuple[str, ...] = ()
    error: Exception | None = field(default=None, compare=False)
    may_hold: bool = True
    words: str = field(default="", compare=False)


UnavailableKind = Literal["unreachable", "tls", "credentials", "overloaded", "other"]


class Unavailable(Exception):
    """The outcome is not known yet: the store is down, slow or overloaded. Nothing is committed or dead-lettered.

    If it is raised, it is about the whole batch; if it is returned as an outcome, about one change. `suspect`: the
    store answered with an internal error (a 500), so a single change of the batch may be its cause. `kind`: whether the
    store could not be reached, has no certificate that is trusted, refused the credentials, or has too much to do; the
    advice for an operator and the metric of failed calls depend on it.
    """

    def __init__(self, store: str, detail: str, *, suspect: bool = False, kind: UnavailableKind = "other") -> None:
        super().__init__(f"{store}: {detail}")
        self.kind = kind
        self.store = store
        self.detail = detail
        self.suspect = suspect


class NoAnswer(Unavailable):
    """The store, or the stage, did not answer in time. Either it is slow, or one change of the batch takes too long."""


class BatchRejected(Exception):
    """The store refused the batch because of its data and did not name the change: the batch is halved to find it.

    For a batch of one change, `rejection` is the outcome of that change.
    """

    def __init__(self, rejection: Rejected) -> None:
        super().__init__(rejection.detail)
        self.rejection = rejection


Outcome = Applied | Superseded | Conflict | Rejected | Unavailable
R_contra = TypeVar("R_contra", bound=Record, contravariant=True)


class Stage(Protocol[R_contra]):
    """What one worker does. The runtime does the rest: decoding, retries, dead letters, receipts, commits."""

    async def apply(self, changes: Sequence[R_contra]) -> Sequence[Outcome]:
        """The outcome of each change, in the order of `changes`.

        The runtime gives at most one change for each (kind, id). A stage must not assume an order between calls, or
        that a change is new: fenced writes make a repetition harmless.

        Raises Unavailable if the outcome of the whole batch is not known, BatchRejected if the store refused the batch
        because of its data and did not name a change.
        """
        ...

    async def check(self) -> None:
        """Raises Unavailable unless the store answers. Called every few seconds, so it makes one small request."""
        ...


@runtime_checkable
class RepairsExpiry(Protocol):
    """A stage that can compensate for records that expired before it read them."""

    def after_expiry(self) -> Sequence[Output]:
        """The records to publish before anything else is committed."""
        ...


@runtime_checkable
class Forgets(Protocol):
    """A stage that can take back a version that was published by mistake."""

    async def forget(self, record: Forget) -> Outcome:
        """Removes the entity, with its version, if the store has exactly this version of it. Any other version stays:
        Superseded for a higher one, else Applied. Changes of any version are taken afterwards.

        Raises Unavailable if the outcome is not known.
        """
        ...


class RawStage(Protocol):
    """The stage of a worker that takes Kafka records undecoded, stores all of them and rejects none."""

    async def check(self) -> None:
        """Raises Unavailable unless the store answers. Called every few seconds, so it makes one small request."""
        ...

    async def store(self, records: Sequence[Any]) -> Mapping[str, int]:
        """Stores a batch, and returns the number of records by kind. Repeating it must be harmless.

        Raises Unavailable if the store does not answer; then the batch is not committed.
        """
        ...
