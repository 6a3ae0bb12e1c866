"""What the demo found, and whether it is correct."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from headrace_cli.percentiles import percentiles
from headrace_demo.entity_comparison import EntityComparison
from headrace_demo.keyword_change import KeywordChange
from headrace_demo.label_recall import LabelRecall
from headrace_demo.link_comparison import LinkComparison
from headrace_demo.progress import WorkerProgress
from headrace_demo.receipt_totals import WorkerTotals
from headrace_schemas.fields import Kind

DELAYS = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class WorkerFigures:
    """One worker's row. `of_catalogue`: how many of the records the catalogue itself published.

    `per_second`: while the catalogue was loaded; `delays`: p50, p95 and p99 of the changes that followed, in seconds
    from `occurred_at` to the acknowledgement of the store.
    """

    worker: str
    published: int
    of_catalogue: int
    consumed: int
    applied: int
    superseded: int
    conflict: int
    dead: int
    ignored: int
    per_second: float
    delays: tuple[float, ...]

    @property
    def adds_up(self) -> bool:
        """Whether there is one outcome for every record that was published for this worker."""
        return self.published == self.applied + self.superseded + self.conflict + self.dead + self.ignored


@dataclass(frozen=True, slots=True)
class LoadFigures:
    """A worker's totals when the load was settled. `delays`: their number; `seconds`: the duration of the load."""

    consumed: int
    delays: int
    seconds: float


def load_figures(totals: WorkerTotals, started: datetime) -> LoadFigures:
    """`started`: when the first record was published."""
    last = totals.last_applied_at or started
    return LoadFigures(totals.consumed, len(totals.delays), (last - started).total_seconds())


def worker_figures(
    progress: WorkerProgress, totals: WorkerTotals, load: LoadFigures, source_topics: Collection[str]
) -> WorkerFigures:
    """One worker's row at the end, with the figures of its load."""
    outcomes = totals.outcomes
    return WorkerFigures(
        worker=progress.worker,
        published=progress.published,
        of_catalogue=sum(progress.published_on.get(topic, 0) for topic in source_topics),
        consumed=totals.consumed,
        applied=outcomes["applied"],
        superseded=outcomes["superseded"],
        conflict=outcomes["conflict"],
        dead=outcomes["dead"],
        ignored=outcomes["ignored"],
        per_second=load.consumed / load.seconds if load.seconds > 0 else 0.0,
        delays=tuple(percentiles(totals.delays[load.delays :], DELAYS)),
    )


@dataclass(frozen=True, slots=True)
class Findings:
    """`published`, `malformed`: records on the source topics, and how many of them no worker may apply.

    `source_readers`: the workers that read the catalogue's topics. `stores`: by store and kind, what it contains
    compared with what is expected; `links`: by store, compared with the exact links. `keyword_change`: what one
    keyword's change did to links. `labels`: by locale; it is no reason to fail.
    """

    published: int
    malformed: int
    source_readers: frozenset[str]
    workers: list[WorkerFigures]
    stores: Mapping[str, Mapping[Kind, EntityComparison]]
    links: Mapping[str, LinkComparison]
    keyword_change: KeywordChange | None
    labels: Mapping[str, LabelRecall]

    def problems(self) -> list[str]:
        """Everything that is wrong, in words; empty if the numbers add up and every store is correct."""
        return [*self._miscounts(), *self._differences()]

    def _miscounts(self) -> list[str]:
        found = []
        for worker in self.workers:
            if not worker.adds_up:
                found.append(f"{worker.worker}: {worker.published} published, {worker.consumed} accounted for")
            reads_source = worker.worker in self.source_readers
            if reads_source and worker.of_catalogue != self.published:
                found.append(f"{worker.worker}: its topics contain {worker.of_catalogue} of {self.published} records")
            if worker.conflict:
                found.append(f"{worker.worker}: {worker.conflict} conflicts, no two changes share a version")
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
