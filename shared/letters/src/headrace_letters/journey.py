"""What became of the newest version of one entity: at each worker, in each store, and in the links."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from headrace_clients.worker_conditions import WorkerCondition
from headrace_letters.last_receipts import LastReceipts
from headrace_letters.letter_rows import IndexedLetter
from headrace_letters.link_requests import LinkRequests
from headrace_letters.newest_published import NewestPublished
from headrace_letters.store_answers import LinkedProducts, StoreAnswer
from headrace_schemas.fields import Kind
from headrace_schemas.receipts import ReceiptOutcome


@dataclass(frozen=True, slots=True)
class Stop:
    """A worker on the way of an entity. `topics`: where it reads the entity. `after`: the worker whose records it
    reads, None for one that reads the catalogue's. `store`: whether it stores entities.
    """

    worker: str
    topics: frozenset[str]
    after: str | None = None
    store: bool = False


@dataclass(frozen=True, slots=True)
class Passage:
    """What became of the version at one worker.

    `outcome`: as in receipts; "stored" if no receipt is left and the store has the version, or what follows from it;
    None while it is not settled, as far as is known. `milliseconds`: from publication to `settled_at`. `missing`: why
    it is not settled, in words; "" if nothing is missing.
    """

    worker: str
    outcome: ReceiptOutcome | Literal["stored"] | None = None
    version: int | None = None
    settled_at: datetime | None = None
    milliseconds: int | None = None
    missing: str = ""
    letter: IndexedLetter | None = None


@dataclass(frozen=True, slots=True)
class InStore:
    """The answer of one store, and what is wrong with it in words; "" if nothing is."""

    answer: StoreAnswer
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Sources:
    """What was read for a journey. `letters_problem`, `receipts_problem`, `conditions_problem`, `requests_problem`: why
    something is not known. `conditions`: by worker. `links`, `requests`: of a product; `products`: of a keyword.
    """

    published: NewestPublished
    stored: Sequence[StoreAnswer]
    receipts: LastReceipts
    letters: Sequence[IndexedLetter] = ()
    more_letters: bool = False
    conditions: Mapping[str, WorkerCondition] = field(default_factory=dict)
    links: Sequence[StoreAnswer] = ()
    products: Sequence[LinkedProducts] = ()
    requests: LinkRequests | None = None
    letters_problem: str = ""
    receipts_problem: str = ""
    conditions_problem: str = ""
    requests_problem: str = ""


@dataclass(frozen=True, slots=True)
class Journey:
    """`version`: the newest that is known; None if nothing is known of the entity. `published_at`, `occurred_at`: of
    that version; None if they are not known. `trace_id`: of its trace, if it has one. `after`: by worker, the one
    whose records it reads.
    """

    kind: Kind
    id: str
    version: int | None
    deleted: bool
    occurred_at: datetime | None
    published_at: datetime | None
    trace_id: str | None
    passages: Sequence[Passage]
    stores: Sequence[InStore]
    links: Sequence[InStore]
    after: Mapping[str, str | None]
    sources: Sources

    @property
    def missing(self) -> list[str]:
        """Everything that is missing or not known, with its reason."""
        if self.version is None:
            found = [f"no version of the {self.kind} is known"]
        else:
            found = [f"{one.worker}: {one.missing}" for one in self.passages if one.missing]
        found += [f"{one.answer.store}: {one.missing}" for one in self.stores if one.missing]
        found += [f"links in {one.answer.store}: {one.missing}" for one in self.links if one.missing]
        found += [f"links in {one.store}: {one.problem}" for one in self.sources.products if one.problem]
        return list(dict.fromkeys([*found, *self._unknown()]))

    def _unknown(self) -> Iterator[str]:
        sources = self.sources
        if sources.published.problem:
            yield f"{sources.published.problem}: a newer version may be published"
        yield from filter(None, (sources.receipts_problem, sources.letters_problem, sources.conditions_problem))
