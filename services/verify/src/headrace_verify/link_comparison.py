"""Compares the link sets of every store with those that were published, and a sample with the exact nearest keywords.

A store with published sets must have the newest of each product. The worker that computes them has a set of its own,
whose version may be higher, because a set that has not changed is not published again. Whether a published set is right
is computed from the vectors: of a sample, and of the products whose set is not on the topic any more.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_expected.differences import Difference, Finding
from headrace_expected.links import Embeddings, broken_links
from headrace_schemas.links import ProductLinks
from headrace_verify.fold import Fold
from headrace_verify.link_fold import LinkFold, PublishedSet, summary
from headrace_verify.report import Found, StoreReport
from headrace_verify.settled_workers import until_settled
from headrace_worker.opened_stores import workers
from headrace_worker.settings import CommonSettings
from headrace_worker.stage import BatchRejected, Unavailable
from headrace_worker.store import LinkStore
from headrace_worker.worker import rejecting_names

PART = 500
EXACT_SAMPLE = 2000
"""Products whose links are computed exactly; of a smaller catalogue all."""
FEEDERS = ("link",)
"""The workers whose dead letters explain a wrong link set in every store."""
LOOKS = 4
"""A set that two looks show broken under one link version is not being computed again. One that each look shows under
another version is not known to be right or wrong.
"""


@dataclass(frozen=True)
class ComparedLinks:
    """One store of link sets. `computes`: it is that of the worker that computes them."""

    name: str
    store: LinkStore
    computes: bool


@asynccontextmanager
async def open_link_stores(names: Collection[str] = ()) -> AsyncIterator[list[ComparedLinks]]:
    """The link sets of these workers, or of all; closed at the end."""
    async with AsyncExitStack() as stack:
        found = []
        for worker in workers():
            if worker.links is None or (names and worker.name not in names):
                continue
            store = worker.links(worker.settings())
            stack.push_async_callback(store.close)
            computes = ProductLinks not in worker.inputs(worker.settings()).values()
            found.append(ComparedLinks(worker.name, store, computes))
        yield found


class LinkComparison:
    """The link sets of these stores against the two folds, which read on meanwhile."""

    def __init__(
        self, settings: CommonSettings, fold: Fold, links: LinkFold, stores: Sequence[ComparedLinks], within: float
    ) -> None:
        self._settings = settings
        self._fold = fold
        self._links = links
        self._stores = stores
        self._within = within

    async def compare(self, reports: Mapping[str, StoreReport]) -> None:
        """Adds to the reports, by store. A store that does not answer is named there. Raises Unavailable for Kafka."""
        exact = set(self._fold.file.random_ids("product", EXACT_SAMPLE))
        for store in self._stores:
            report = reports[store.name]
            if self._keywords() is None:
                report.notes.append("no nearest keywords were computed: some vectors are not on the topics any more")
            try:
                await store.store.refresh()
                suspects = await self._first_look(store, exact, report)
                await self._look_again(store, suspects, exact, report)
            except Unavailable as error:
                if error.store == "kafka":
                    raise
                report.problem = report.problem or f"{error.store}: {error.detail}"
            except BatchRejected as error:
                report.problem = report.problem or f"{store.name}: a read was refused: {error}"

    async def _first_look(self, store: ComparedLinks, exact: Collection[str], report: StoreReport) -> dict[str, str]:
        suspects: dict[str, str] = {}
        seen: set[bytes] = set()
        part: list[ProductLinks] = []
        async for links in store.store.scan_links():
            part.append(links)
            if len(part) == PART:
                suspects |= self._differences(store, part, seen)
                part = []
        suspects |= self._differences(store, part, seen)
        report.compared += len(seen)
        missing = (id for id in self._links.live_ids() if id.encode() not in seen)
        suspects |= dict.fromkeys(missing, "has no links and should")
        return suspects | await self._inexact(store, exact)

    def _differences(self, store: ComparedLinks, part: Sequence[ProductLinks], seen: set[bytes]) -> dict[str, str]:
        published = self._links.of(links.product_id for links in part)
        known = self._fold.file.of("product", (links.product_id for links in part))
        found = {}
        for links in part:
            id = links.product_id
            if id.encode() in seen:
                found[id] = "is stored twice"
            seen.add(id.encode())
            row = known.get(id)
            if row is None and not links.deleted:
                found[id] = "has links, and was never published"
            elif row is not None and row.expected.newest.deleted and not links.deleted:
                found[id] = "has links and is deleted"
            elif (newest := published.get(id)) and (what := difference(store, [newest], summary(links))):
                found[id] = what
        return found

    async def _inexact(self, store: ComparedLinks, ids: Iterable[str]) -> dict[str, str]:
        """The products whose links are not the exact nearest keywords."""
        known = self._fold.file.of("product", ids)
        vectors = self._fold.file.texts("product", ids)
        keywords = self._keywords()
        if keywords is None:
            return {}
        link: Any = next(worker for worker in workers() if worker.step == "link")
        options = link.settings().link
        deleted = frozenset(id for id, row in known.items() if row.expected.newest.deleted)
        found: dict[str, str] = {}
        wanted = sorted([*vectors, *deleted])
        for start in range(0, len(wanted), PART):
            part = wanted[start : start + PART]
            stored = await store.store.links_of(part)
            live = [id for id in part if id in vectors and id not in deleted]
            products = Embeddings(
                live,
                [vectors[id][0] for id in live],
                _matrix([vectors[id][1] for id in live]),
                deleted,
            )
            broken = broken_links(stored.values(), products, keywords, k=options.k, min_score=options.min_score)
            found |= {one.id: one.detail for one in broken}
        return found

    def _keywords(self) -> Embeddings | None:
        """All live keywords with their vectors; None if a vector is not on the topic any more."""
        known = self._fold.file.texts("keyword")
        if len(known) < self._fold.file.live_count("keyword"):
            return None
        return Embeddings(
            list(known), [text for text, _ in known.values()], _matrix([one for _, one in known.values()]), frozenset()
        )

    async def _look_again(
        self, store: ComparedLinks, suspects: dict[str, str], exact: Collection[str], report: StoreReport
    ) -> None:
        late: Sequence[str] = ()
        before: dict[str, int] = {}
        for _ in range(LOOKS):
            if not suspects or late:
                break
            self._links.keep(suspects)
            late = await until_settled(self._settings, rejecting_names(), self._within)
            stored = await store.store.links_of(list(suspects))
            await self._links.read()
            await self._fold.read()
            inexact = await self._inexact(store, [id for id in suspects if id in exact])
            suspects = {id: what for id in suspects if (what := self._still(store, id, stored.get(id), inexact))}
            versions = {id: stored[id].version if id in stored else 0 for id in suspects}
            unchanged = {id for id, version in versions.items() if before.get(id) == version and not late}
            before = versions
            for id in unchanged:
                finding = Finding("product", id, Difference.BROKEN_LINKS, suspects.pop(id))
                report.found.append(Found(store.name, finding, id.encode()))
        if suspects:
            report.unsettled += len(suspects)
            report.notes += late or ["some products are linked again all the time"]

    def _still(self, store: ComparedLinks, id: str, links: ProductLinks | None, inexact: Mapping[str, str]) -> str:
        """How the set differs still; empty if it does not."""
        if self._fold.link_letters & {(store.name, id), *((feeder, id) for feeder in FEEDERS)}:
            return ""
        row = self._fold.file.of("product", [id]).get(id)
        published = self._links.kept(id)
        if links is None:
            live = row is not None and not row.expected.newest.deleted
            return "has no links and should" if live and (published or id in inexact) else ""
        if row is None:
            return "" if links.deleted else "has links, and was never published"
        if row.expected.newest.deleted and not links.deleted:
            return "has links and is deleted"
        if published and (what := difference(store, published, summary(links))):
            return what
        return inexact.get(id, "")


def difference(store: ComparedLinks, published: Sequence[PublishedSet], stored: PublishedSet) -> str:
    """How a stored set differs from every published one that would be right; empty if it does not."""
    if store.computes:
        return "" if any(one.equals(stored) for one in published) else "is not the set that was published"
    newest = max(one.version for one in published)
    least = min(one.version for one in published)
    if stored.version < least:
        return f"has link version {stored.version}, the newest is {newest}"
    if stored.version > newest:
        return f"has link version {stored.version}, above the newest, {newest}"
    same = [one for one in published if one.version == stored.version]
    return "" if any(one.equals(stored) for one in same) else f"has other links under link version {stored.version}"


def _matrix(vectors: Sequence[bytes]) -> Any:
    return np.frombuffer(b"".join(vectors), "<f4").reshape(len(vectors), -1) if vectors else np.zeros((0, 0), "<f4")
