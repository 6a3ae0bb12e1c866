"""Builds the two stages of the link worker from what they read and write."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from headrace_clients.qdrant import connect
from headrace_link.backlog import Backlog
from headrace_link.catalogue import Catalogue
from headrace_link.collection import collection_name
from headrace_link.coverage import Coverage
from headrace_link.expired_sets import ExpiredSets
from headrace_link.former_requests import FormerRequests
from headrace_link.log_ends import LogEnds
from headrace_link.open_points import OpenPoints
from headrace_link.point_queries import PointQueries
from headrace_link.point_writes import PointWrites
from headrace_link.product_links import ProductLinksTopic, Publish
from headrace_link.receipts import ReceiptStage
from headrace_link.settings import LinkSettings
from headrace_link.stage import LinkStage
from headrace_link.sweep_estimate import SweepEstimate
from headrace_link.sweeps import Sweeps
from headrace_link.turns import Turns
from headrace_runtime.publisher import Publisher


@dataclass(frozen=True)
class Access:
    """What the stages read and write: two collections of the qdrant worker, `product_links`, and Kafka."""

    catalogue: Catalogue
    points: PointWrites
    queries: PointQueries
    ends: LogEnds
    publish: Publish


@asynccontextmanager
async def open_stage(settings: LinkSettings) -> AsyncIterator[LinkStage]:
    """The stage of requests with its clients; no server need be up. Meanwhile points that stay open are looked for, and
    requests of an earlier release.
    """
    async with open_access(settings) as access:
        meanwhile = [open_points(settings, access).run(), FormerRequests(settings, access.publish).run()]
        tasks = [asyncio.create_task(running) for running in meanwhile]
        try:
            yield link_stage(settings, access)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


@asynccontextmanager
async def open_receipt_stage(settings: LinkSettings) -> AsyncIterator[ReceiptStage]:
    """The stage of receipts with its clients; no server need be up."""
    async with open_access(settings) as access:
        yield receipt_stage(settings, access)


@asynccontextmanager
async def open_access(settings: LinkSettings) -> AsyncIterator[Access]:
    """Clients that connect when they are first used, closed at the end."""
    async with AsyncExitStack() as stack:
        client = connect(settings.qdrant)
        stack.push_async_callback(client.close)
        publisher = Publisher(settings.kafka)
        stack.push_async_callback(publisher.close)
        ends = LogEnds(settings.kafka)
        stack.push_async_callback(ends.close)
        catalogue = Catalogue(client, settings.names, settings.link.k, settings.link.min_score)
        queries = PointQueries(client, collection_name(settings.names))
        yield Access(catalogue, PointWrites(client, queries), queries, ends, publisher.publish)


def link_stage(settings: LinkSettings, access: Access) -> LinkStage:
    """The stage of requests. A process has one: what its reads cover is kept in memory."""
    coverage = Coverage(access.ends)
    topic = ProductLinksTopic(
        settings.topics.product_links, settings.model, 2 * settings.kafka.max_record_bytes, access.publish
    )
    sweeps = Sweeps(
        access.catalogue,
        access.queries,
        _backlog(settings, access),
        access.publish,
        topic=settings.topics.relink_bulk,
        wait=settings.link.sweep_wait,
    )
    turns = Turns(access.catalogue, access.points, topic, coverage)
    return LinkStage(turns, sweeps, coverage, ExpiredSets(access.ends, settings.topics.product_links))


def open_points(settings: LinkSettings, access: Access) -> OpenPoints:
    """What requests the products whose point stays open."""
    return OpenPoints(access.queries, access.publish, settings.topics.relink)


def receipt_stage(settings: LinkSettings, access: Access) -> ReceiptStage:
    """The stage of receipts."""
    estimate = SweepEstimate(settings.link, _backlog(settings, access))
    return ReceiptStage(access.catalogue, access.queries, estimate, settings.topics)


def _backlog(settings: LinkSettings, access: Access) -> Backlog:
    return Backlog(access.ends, settings)
