"""What the demo found, and whether it is what it has to be."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from headrace_demo.entity_comparison import Comparison
from headrace_demo.keyword_move import Move
from headrace_demo.label_recall import Labelled
from headrace_demo.link_comparison import LinkComparison
from headrace_demo.progress import Standing
from headrace_demo.receipt_totals import Account, percentiles
from headrace_schemas.fields import Kind

DELAYS = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class WorkerFigures:
    """One worker's row. `of_catalogue`: how many of the records come from the catalogue itself.

    `per_second`: while the catalogue was loaded; `delays`: p50, p95 and p99 of the changes that followed, in seconds
    from `occurred_at` to when the store had acknowledged.
    """

    worker: str
    published: int
    of_catalogue: int
    consumed: int
    applied: int
    superseded: int
    dead: int
    ignored: int
    per_second: float
    delays: tuple[float, ...]

    @property
    def adds_up(self) -> bool:
        """Whether there is one outcome for every record that was published for this worker."""
        return self.published == self.applied + self.superseded + self.dead + self.ignored


@dataclass(frozen=True, slots=True)
class Loaded:
    """Where a worker's account stood when the load was accounted for."""

    consumed: int
    delays: int
    seconds: float


def loaded(account: Account, started: datetime) -> Loaded:
    """`started`: when the first record was published."""
    last = account.last_applied_at or started
    return Loaded(account.consumed, len(account.delays), (last - started).total_seconds())


def worker_figures(
    standing: Standing, account: Account, before: Loaded, source_topics: Collection[str]
) -> WorkerFigures:
    outcomes = account.outcomes
    return WorkerFigures(
        worker=standing.worker,
        published=standing.published,
        of_catalogue=sum(standing.published_on.get(topic, 0) for topic in source_topics),
        consumed=account.consumed,
        applied=outcomes["applied"],
        superseded=outcomes["superseded"],
        dead=outcomes["dead"],
        ignored=outcomes["ignored"],
        per_second=before.consumed / before.seconds if before.seconds > 0 else 0.0,
        delays=tuple(percentiles(account.delays[before.delays :], DELAYS)),
    )


@dataclass(frozen=True, slots=True)
class Findings:
    """`stores`: for each store and kind what it holds against the fold; `links`: against brute force.

    `source_readers`: who reads the catalogue. `published`, `malformed`: records on the source topics, and those of them
    that no worker may apply. `move`: what one keyword's change did to links; `labelled`: by locale, for people to see.
    """

    published: int
    malformed: int
    source_readers: frozenset[str]
    workers: list[WorkerFigures]
    stores: Mapping[str, Mapping[Kind, Comparison]]
    links: Mapping[str, LinkComparison]
    move: Move | None
    labelled: Mapping[str, Labelled]

    def problems(self) -> list[str]:
        """Everything that is not as it has to be, in words; empty if the numbers add up and every store is right."""
        return [*self._miscounts(), *self._differences()]

    def _miscounts(self) -> list[str]:
        found = []
        for worker in self.workers:
            if not worker.adds_up:
                found.append(f"{worker.worker}: {worker.published} published, {worker.consumed} accounted for")
            reads_source = worker.worker in self.source_readers
            if reads_source and worker.of_catalogue != self.published:
                found.append(f"{worker.worker}: its topics hold {worker.of_catalogue} of {self.published} records")
            if worker.dead != (malformed := self.malformed if reads_source else 0):
                found.append(f"{worker.worker}: {worker.dead} dead letters, {malformed} records are malformed")
        return found

    def _differences(self) -> list[str]:
        entities = [
            f"{store}: {kind} {id} {what}"
            for store, kinds in self.stores.items()
            for kind, comparison in kinds.items()
            for id, what in comparison.differences
        ]
        links = [
            f"{store}: {product_id} {what}"
            for store, comparison in self.links.items()
            for product_id, what in comparison.differences
        ]
        return entities + links
