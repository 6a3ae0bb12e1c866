"""Requests into link sets, by the protocol of docs/links.md: look, open, read, publish, close."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from headrace_clients.qdrant import STORE, connect
from headrace_link import records
from headrace_link.backlog import Backlog
from headrace_link.catalogue import Catalogue
from headrace_link.collection import collection_name
from headrace_link.covered import Covered
from headrace_link.log_ends import LogEnds
from headrace_link.point import LinkSet, Opened
from headrace_link.points import LinkPoints
from headrace_link.records import Request, SweepMarker
from headrace_link.settings import LinkSettings
from headrace_link.sweeps import Sweeps
from headrace_runtime.publisher import Publisher
from headrace_worker.stage import Applied, BatchRejected, Outcome, Output, Rejected, Superseded, Unavailable

log = structlog.get_logger(__name__)

SHARE = 64
"""Products of one turn of the protocol: one request for each of its steps."""
IN_FLIGHT = 8
ROUNDS = 8
"""Turns of a product that is opened by others all the time, before it is tried again later."""

Publish = Callable[[Sequence[Output]], Awaitable[None]]


@asynccontextmanager
async def open_stage(settings: LinkSettings) -> AsyncIterator["LinkStage"]:
    """The stage with its clients; no server need be up."""
    async with AsyncExitStack() as stack:
        client = connect(settings.qdrant)
        stack.push_async_callback(client.close)
        publisher = Publisher(settings.kafka)
        stack.push_async_callback(publisher.close)
        ends = LogEnds(settings.kafka)
        stack.push_async_callback(ends.close)

        catalogue = Catalogue(client, settings.model, settings.link.k, settings.link.min_score)
        points = LinkPoints(client, collection_name(settings.model))
        backlog = Backlog(ends, settings.topics, settings.model)
        sweeps = Sweeps(catalogue, points, backlog, settings.topics.relink, settings.link.sweep_wait)
        yield LinkStage(
            catalogue,
            points,
            ends,
            sweeps,
            publisher.publish,
            topic=settings.topics.product_links,
            relink_topic=settings.topics.relink,
            max_bytes=2 * settings.kafka.max_record_bytes,
        )


class LinkStage:
    """Computes link sets from what is current, and publishes those that changed.

    `max_bytes`: of the largest link set that its topic takes.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        points: LinkPoints,
        ends: LogEnds,
        sweeps: Sweeps,
        publish: Publish,
        *,
        topic: str,
        relink_topic: str,
        max_bytes: int,
    ) -> None:
        self._catalogue = catalogue
        self._points = points
        self._ends = ends
        self._sweeps = sweeps
        self._publish = publish
        self._topic = topic
        self._relink_topic = relink_topic
        self._max_bytes = max_bytes
        self._covered = Covered()
        self._slots = asyncio.Semaphore(IN_FLIGHT)

    async def apply(self, changes: Sequence[Request | SweepMarker]) -> Sequence[Outcome]:
        """A request that a finished read covers is superseded by that read."""
        outcomes: dict[tuple[str, str], Outcome] = {}
        fresh = [asked for asked in changes if not self._covered.covers(asked)]
        requests = [asked for asked in fresh if isinstance(asked, Request)]
        shares = [requests[start : start + SHARE] for start in range(0, len(requests), SHARE)]
        for share, settled in zip(shares, await self._settle(shares), strict=True):
            outcomes |= {(asked.kind, asked.id): outcome for asked, outcome in zip(share, settled, strict=True)}
        for marker in fresh:
            if isinstance(marker, SweepMarker):
                outcomes[marker.kind, marker.id] = await self._sweep(marker)
        self._covered.forget(changes)
        return [outcomes.get((asked.kind, asked.id), Superseded()) for asked in changes]

    async def check(self) -> None:
        """Raises Unavailable unless Qdrant and Kafka answer."""
        await self._points.count()
        await self._ends.of_topic(self._relink_topic)

    def after_expiry(self) -> Sequence[Output]:
        """Requests expired unread, for no one knows which products: for all of them."""
        return [records.sweep(self._relink_topic)]

    async def _settle(self, shares: Sequence[Sequence[Request]]) -> list[list[Outcome]]:
        answers = await asyncio.gather(*(self._link(share) for share in shares), return_exceptions=True)
        found: list[list[Outcome]] = []
        for share, answer in zip(shares, answers, strict=True):
            if isinstance(answer, Unavailable):
                found.append([answer] * len(share))
            elif isinstance(answer, BaseException):
                raise answer
            else:
                found.append(answer)
        return found

    async def _link(self, requests: Sequence[Request]) -> list[Outcome]:
        """Takes requests of different products through the protocol. Raises Unavailable or BatchRejected."""
        async with self._slots:
            left = {asked.id: asked for asked in requests}
            outcomes: dict[str, Outcome] = {}
            for _ in range(ROUNDS):
                settled = await self._turn(list(left.values()))
                outcomes |= settled
                left = {id: asked for id, asked in left.items() if id not in settled}
                if not left:
                    return [outcomes[asked.id] for asked in requests]
        raise Unavailable(STORE, f"{len(left)} products are being opened by others all the time")

    async def _turn(self, requests: Sequence[Request]) -> dict[str, Outcome]:
        """One turn of the protocol. The products that others opened in between are missing from the answer."""
        seen = await self._points.look([asked.id for asked in requests])
        opened = {one.seen.product_id: one for one in await self._points.open(seen)}
        mine = [asked for asked in requests if asked.id in opened]
        if not mine:
            return {}
        ends = await self._ends.of((asked.arrival.topic, asked.arrival.partition) for asked in mine)
        found = await self._catalogue.link_sets([asked.id for asked in mine])
        closing, outputs, refused = self._closing(opened, found)
        await self._publish(outputs)
        await self._points.close(closing)
        self._covered.note([asked for asked in mine if asked.id not in refused], ends)
        log.info("products_linked", products=len(closing), changed=len(outputs), beaten=len(seen) - len(mine))
        return {asked.id: refused.get(asked.id, Applied()) for asked in mine}

    def _closing(
        self, opened: dict[str, Opened], found: Sequence[LinkSet]
    ) -> tuple[list[tuple[Opened, LinkSet]], list[Output], dict[str, Outcome]]:
        """What to close, and what of it to publish because it is not what was found closed; and what no topic can hold,
        which stays open so that the next change asks.
        """
        closing, outputs, refused = [], list[Output](), dict[str, Outcome]()
        for one in found:
            mine = opened[one.product_id]
            if mine.seen.digest != one.digest:
                output = records.links(self._topic, one.published(mine.version + 1))
                if (size := len(output.value)) > self._max_bytes:
                    detail = f"the link set has {size} bytes, a topic takes {self._max_bytes}"
                    refused[one.product_id] = Rejected("too_large", detail, ("links",))
                    continue
                outputs.append(output)
            closing.append((mine, one))
        return closing, outputs, refused

    async def _sweep(self, marker: SweepMarker) -> Outcome:
        await self._sweeps.ready()
        where = (marker.arrival.topic, marker.arrival.partition)
        try:
            ends = await self._ends.of([where])
            outputs = await self._sweeps.outputs(marker)
            await self._publish(outputs)
        except Unavailable as error:
            return error
        except BatchRejected as error:
            return error.rejection
        # Only now: before, a crash or a failed try would leave a sweep that is skipped and was never made.
        self._covered.note([marker], ends)
        log.info("products_swept", part=marker.part, parts=marker.parts, requests=len(outputs))
        return Applied()
