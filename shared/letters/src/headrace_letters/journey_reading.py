"""Reads everything that a journey is made of. What does not answer is named in the journey; the rest is shown."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from aiokafka.errors import KafkaError

from headrace_clients.group_lag import ConsumerGroup, installed_groups
from headrace_clients.topic_reader import UnknownTopic
from headrace_clients.worker_conditions import WorkerCondition
from headrace_letters.index import LetterIndex
from headrace_letters.installed_stores import InstalledStores
from headrace_letters.journey import Journey, Sources, Stop
from headrace_letters.journey_decisions import journey
from headrace_letters.last_receipts import CONNECT_SECONDS, LastReceipts, last_receipts
from headrace_letters.link_requests import link_requests
from headrace_letters.newest_published import newest_published
from headrace_letters.selection import Selection
from headrace_letters.store_answers import ANSWER_SECONDS, entity_in_stores, link_set_in_stores, linked_products
from headrace_schemas.fields import Kind
from headrace_worker.settings import CommonSettings
from headrace_worker.stage import Unavailable
from headrace_worker.worker import worker_names

A = TypeVar("A")
MOST_LETTERS = 10
CONDITIONS_WITHIN = 10.0
LINKS_FOLLOW = "qdrant"
"""`link` computes links once this worker has made a change visible."""

Conditions = Callable[[], Awaitable[Mapping[str, WorkerCondition]]]


@dataclass(frozen=True, slots=True)
class Depth:
    """How far back Kafka is read: records of each partition, and seconds at most for each topic."""

    published: int
    receipts: int
    seconds: float


@dataclass(frozen=True, slots=True)
class EntityReader:
    """`conditions`: asks for the state of the workers; may raise what aiokafka raises."""

    settings: CommonSettings
    stores: InstalledStores
    index: LetterIndex
    conditions: Conditions
    depth: Depth

    async def read(self, kind: Kind, id: str) -> Journey:
        """The journey of the newest version. Servers are asked all at once, and then for what link has not settled."""
        depth, settings, stores = self.depth, self.settings, self.stores
        far, within = depth.receipts, depth.seconds
        stops, link = await asyncio.to_thread(stops_of, stores, kind)
        async with asyncio.TaskGroup() as group:
            published = group.create_task(newest_published(settings, kind, id, records=depth.published, within=within))
            stored = group.create_task(entity_in_stores(stores, kind, id))
            links = group.create_task(link_set_in_stores(stores, id)) if kind == "product" else None
            products = group.create_task(linked_products(stores, id)) if kind == "keyword" else None
            reading = last_receipts(settings, kind, id, records=far, within=within)
            receipts = group.create_task(_or_why(reading, "the receipts", 2 * ANSWER_SECONDS + within))
            page = self.index.page(letters_of(id), limit=MOST_LETTERS)
            letters = group.create_task(_or_why(page, "the index of dead letters", ANSWER_SECONDS))
            asking = _or_why(self.conditions(), "the state of the workers", CONDITIONS_WITHIN)
            conditions = group.create_task(asking)
        (reported, no_receipts), (failed, no_letters) = receipts.result(), letters.result()
        if reported is not None and not reported.complete:
            no_receipts = "the receipts could not be read to their end in time"
        found, no_conditions = conditions.result()
        requests, no_requests = None, ""
        if links is not None and link is not None:
            groups = await asyncio.to_thread(groups_of, settings, stores, link.worker)
            asked = link_requests(settings, groups, LINKS_FOLLOW, id)
            requests, no_requests = await _or_why(asked, "the requests of links", within + CONNECT_SECONDS)
        sources = Sources(
            published=published.result(),
            stored=stored.result(),
            receipts=reported or LastReceipts((), 0, None, False),
            letters=failed.letters if failed else (),
            more_letters=failed is not None and failed.next is not None,
            conditions=found or {},
            links=links.result() if links else (),
            products=products.result() if products else (),
            requests=requests,
            letters_problem=no_letters,
            receipts_problem=no_receipts,
            conditions_problem=no_conditions,
            requests_problem=no_requests,
        )
        return journey(kind, id, stops, link, sources)


def letters_of(id: str) -> Selection:
    """The dead letters with this key."""
    return Selection(key=id.encode(errors="surrogatepass"))


def groups_of(settings: CommonSettings, stores: InstalledStores, worker: str) -> list[ConsumerGroup]:
    """The consumer groups of one worker. Imports every installed worker."""
    groups = installed_groups(settings, lambda one: stores.target(one.name).settings)
    return [group for group in groups if group.worker == worker]


def stops_of(stores: InstalledStores, kind: Kind) -> tuple[list[Stop], Stop | None]:
    """The workers that read entities of this kind, in the order of the records' way; and the one that links them.

    Imports every installed worker.
    """
    found: list[Stop] = []
    link, embed = None, None
    for name in worker_names():
        target = stores.target(name)
        worker, topics = target.worker, target.settings.topics
        has_store = worker.store is not None
        source, embedded = topics.source(kind), topics.embedded(kind, target.settings.model)
        if worker.step == "link":
            heard = worker.listener.inputs(target.settings) if worker.listener else ()
            link = Stop(name, frozenset({*target.inputs, *heard}), LINKS_FOLLOW)
        elif source in target.inputs:
            embed = name if worker.step == "embed" else embed
            found.append(Stop(name, frozenset({source}), None, has_store))
        elif embedded in target.inputs:
            found.append(Stop(name, frozenset({embedded}), "", has_store))
    placed = [Stop(one.worker, one.topics, embed if one.after == "" else None, one.store) for one in found]
    return sorted(placed, key=lambda one: (one.worker != embed, one.after is not None, one.worker)), link


async def _or_why(asking: Awaitable[A], what: str, within: float) -> tuple[A | None, str]:
    """The answer and ""; or None and why there is none."""
    with suppress(TimeoutError):
        try:
            async with asyncio.timeout(within):
                return await asking, ""
        except Unavailable as error:
            return None, f"{what}: {error.store} does not answer: {error.detail}"
        except (KafkaError, OSError, UnknownTopic) as error:
            if not isinstance(error, TimeoutError):
                return None, f"{what}: Kafka does not answer ({type(error).__name__})"
    return None, f"{what}: no answer within {within:.0f} s"
