"""Compares stores with the topics: the first look at everything, then the second look at what differed."""

import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from headrace_expected.entities import Letter
from headrace_letters.letter_reader import open_letter_reader
from headrace_schemas.fields import Kind
from headrace_schemas.topics import SOURCE_NAMES
from headrace_verify.compared_store import ComparedStore
from headrace_verify.entity_comparison import finding, is_forgotten, look
from headrace_verify.fold import Fold, open_fold
from headrace_verify.link_comparison import ComparedLinks, LinkComparison
from headrace_verify.link_fold import LinkFold, open_link_fold
from headrace_verify.repair import repair
from headrace_verify.report import Report, StoreReport
from headrace_verify.second_look import SecondLook, number_of
from headrace_verify.settled_workers import until_settled
from headrace_worker.settings import CommonSettings
from headrace_worker.stage import BatchRejected, Unavailable
from headrace_worker.worker import rejecting_names

OnProgress = Callable[[str, int, int], None]
"""Gets what is done, how much of it, and the total."""
KINDS: Sequence[Kind] = tuple(SOURCE_NAMES)
ROUNDS = 2
"""Of a repair: the first may have to ask `embed` for a vector that the second writes."""


def silent(what: str, done: int, total: int) -> None:
    """Shows no progress."""


@dataclass(frozen=True, slots=True)
class Options:
    """`sample`: compares only so many random entities of each kind. `settle_within`: seconds that the second look waits
    for the workers.
    """

    sample: int | None = None
    settle_within: float = 60.0


async def compare(
    settings: CommonSettings,
    stores: Collection[ComparedStore],
    links: Sequence[ComparedLinks] = (),
    options: Options = Options(),
    on_progress: OnProgress = silent,
) -> Report:
    """Compares these stores, and these link sets, with the topics, both ways. A store that does not answer is named in
    the report, and the others are compared. Raises Unavailable if the topics cannot be read.
    """
    async with open_topics(settings, stores, links, options, on_progress) as topics:
        return await topics.compare()


async def compare_and_repair(
    settings: CommonSettings,
    stores: Collection[ComparedStore],
    links: Sequence[ComparedLinks] = (),
    options: Options = Options(),
    on_progress: OnProgress = silent,
) -> Report:
    """Compares, mends what differs, and compares again: the report is that of the second comparison, with what was
    mended. Raises Unavailable.
    """
    async with open_topics(settings, stores, links, options, on_progress) as topics:
        first = report = await topics.compare()
        letters = set(topics.fold.letters)
        for _ in range(ROUNDS):
            if not report.different:
                break
            done = await repair(settings, topics.fold, stores, report.different)
            workers = rejecting_names() if done.relinked else frozenset[str]().union(*(one.feeders for one in stores))
            late = await until_settled(settings, workers, options.settle_within)
            report = await topics.compare()
            report.left = [f"{one.store} {one.finding.kind} {one.finding.id}: {why}" for one, why in done.left]
            report.left += late
            if not done.sent and not done.mended and not done.relinked:
                break
        _restore_refused(first, report, topics.fold.letters - letters, stores)
    left = {(one.store, one.finding.kind, one.finding.id) for one in report.different}
    report.repaired = [one for one in first.different if (one.store, one.finding.kind, one.finding.id) not in left]
    return report


def _restore_refused(
    first: Report, last: Report, letters: Collection[Letter], stores: Collection[ComparedStore]
) -> None:
    """A letter of the repair itself explains nothing: what it is about differs as before."""
    feeders = {store.name: store.feeders for store in stores}
    refused = {(letter.worker, letter.kind, letter.id) for letter in letters}
    known = {(one.store, one.key) for one in last.different}
    for one in first.different:
        entity = (one.finding.kind, one.finding.id)
        refused_it = any((worker, *entity) in refused for worker in feeders.get(one.store, ()))
        if refused_it and (one.store, one.key) not in known:
            next(store for store in last.stores if store.store == one.store).found.append(one)
            last.left.append(f"{one.store} {one.finding.kind} {one.finding.id}: a worker made it a dead letter")


class Topics:
    """The folds of the topics, with which the stores are compared as often as wanted."""

    def __init__(
        self,
        settings: CommonSettings,
        fold: Fold,
        link_fold: LinkFold | None,
        stores: Collection[ComparedStore],
        links: Sequence[ComparedLinks],
        options: Options,
        on_progress: OnProgress,
    ) -> None:
        self.fold = fold
        self._settings = settings
        self._link_fold = link_fold
        self._stores = stores
        self._links = links
        self._options = options
        self._on_progress = on_progress

    async def compare(self) -> Report:
        """Reads the topics on to their ends, and compares each store with them."""
        started, report = time.monotonic(), Report()
        await read_topics(self.fold, self._on_progress)
        report.entities = sum(map(self.fold.file.count, KINDS))
        for store in self._stores:
            found = await compare_store(self._settings, self.fold, store, self._options, self._on_progress)
            report.stores.append(found)
        if self._link_fold is not None:
            await self._link_fold.read()
            reports = {one.store: one for one in report.stores}
            for links in self._links:
                if links.name not in reports:
                    reports[links.name] = StoreReport(links.name)
                    report.stores.append(reports[links.name])
            within = self._options.settle_within
            await LinkComparison(self._settings, self.fold, self._link_fold, self._links, within).compare(reports)
        report.seconds = time.monotonic() - started
        return report


@asynccontextmanager
async def open_topics(
    settings: CommonSettings,
    stores: Collection[ComparedStore],
    links: Sequence[ComparedLinks],
    options: Options,
    on_progress: OnProgress,
) -> AsyncIterator[Topics]:
    """Empty folds, which are removed at the end."""
    async with AsyncExitStack() as stack:
        fold = await stack.enter_async_context(open_fold(settings))
        link_fold = await stack.enter_async_context(open_link_fold(settings)) if links else None
        yield Topics(settings, fold, link_fold, stores, links, options, on_progress)


async def read_topics(fold: Fold, on_progress: OnProgress = silent) -> None:
    """Fills the fold."""
    total, done = await fold.left(), 0

    def read(records: int) -> None:
        nonlocal done
        done += records
        on_progress("the topics", done, max(total, done))

    await fold.read(read)


async def compare_store(
    settings: CommonSettings, fold: Fold, store: ComparedStore, options: Options, on_progress: OnProgress
) -> StoreReport:
    """Compares one store with the fold, which reads on meanwhile."""
    report = StoreReport(store.name)
    try:
        suspects = await _first_look(fold, store, options, report, on_progress)
        await second_look(settings, fold, store, suspects, options.settle_within, report)
    except Unavailable as error:
        if error.store == "kafka":
            raise
        report.problem = f"{error.store}: {error.detail}"
    except BatchRejected as error:
        report.problem = f"{store.name}: a read was refused: {error}"
    return report


async def _first_look(
    fold: Fold, store: ComparedStore, options: Options, report: StoreReport, on_progress: OnProgress
) -> dict[Kind, dict[bytes, str]]:
    await store.scan.refresh()
    sort_by_keys(fold, store)
    total, done = sum(map(fold.file.count, KINDS)), 0

    def compared(rows: int) -> None:
        nonlocal done
        done += rows
        on_progress(store.name, done, max(total, done))

    suspects = {}
    for kind in KINDS:
        if options.sample is None:
            found = await look(fold, store, kind, on_page=compared)
            report.compared += found.compared
            report.forgotten += found.forgotten
            suspects[kind] = found.suspects
        else:
            suspects[kind] = await _sampled(fold, store, kind, options.sample, report)
    if options.sample is not None:
        report.notes.append("only a sample was compared, and entities that were never published cannot be in it")
    return suspects


def sort_by_keys(fold: Fold, store: ComparedStore) -> None:
    """Sorts the file of the fold as the store sorts its keys."""
    own = store.scan.key("id") == b"id"
    fold.file.key_by(None if own else store.scan.key)


async def _sampled(fold: Fold, store: ComparedStore, kind: Kind, size: int, report: StoreReport) -> dict[bytes, str]:
    """The suspects among some random entities of the topics."""
    ids = {store.scan.key(id): id for id in fold.file.random_ids(kind, size)}
    stored = await store.scan.read(kind, list(ids))
    rows, rules = fold.of(kind, ids.values()), store.rules(fold.letters)
    report.compared += len(ids)
    found = {}
    for key, id in ids.items():
        wrong = finding(rules, kind, id, rows[id], stored.get(key))
        if wrong is not None and not is_forgotten(wrong):
            found[key] = id
    return found


async def second_look(
    settings: CommonSettings,
    fold: Fold,
    store: ComparedStore,
    suspects: dict[Kind, dict[bytes, str]],
    settle_within: float,
    report: StoreReport,
) -> None:
    """Looks again at the suspects, and puts what differs still into the report. Raises Unavailable."""
    if not number_of(suspects.values()):
        return
    again = SecondLook(settings, fold, store, suspects)
    late = await until_settled(settings, store.feeders, settle_within)
    await again.read_store()
    await fold.read()
    async with open_letter_reader(settings.kafka) as reader:
        found = await again.found(reader)
    if late and found:
        report.unsettled += len(found)
        report.notes += late
    else:
        report.found += found
