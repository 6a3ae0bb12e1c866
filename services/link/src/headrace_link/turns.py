"""The link protocol of docs/links.md: a turn takes products through look, open, read, publish and close."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from headrace_clients.qdrant import STORE
from headrace_link.catalogue import Catalogue
from headrace_link.coverage import Coverage
from headrace_link.link_set import LinkSet
from headrace_link.point import Opened
from headrace_link.point_writes import PointWrites
from headrace_link.product_links import ProductLinksTopic
from headrace_link.records import Request
from headrace_worker.stage import Applied, Outcome, Output, Rejected, Unavailable

log = structlog.get_logger(__name__)

MAX_TURNS = 8
"""A product whose point other writers open in each of this many turns is unavailable, and tried again later."""


@dataclass(slots=True)
class Result:
    """What a read means for the opened products: the points to close, the records to publish, and the products whose
    set is too large for the topic.
    """

    closing: list[tuple[Opened, LinkSet]] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    rejected: dict[str, Outcome] = field(default_factory=dict)


class Turns:
    """Links products. One turn sends one request to Qdrant for each step, for all its products together."""

    def __init__(self, catalogue: Catalogue, points: PointWrites, topic: ProductLinksTopic, coverage: Coverage) -> None:
        self._catalogue = catalogue
        self._points = points
        self._topic = topic
        self._coverage = coverage

    async def link(self, requests: Sequence[Request]) -> list[Outcome]:
        """Takes requests of different products through the protocol. Raises Unavailable or BatchRejected."""
        left = {asked.id: asked for asked in requests}
        outcomes: dict[str, Outcome] = {}
        for _ in range(MAX_TURNS):
            finished = await self._turn(list(left.values()))
            outcomes |= finished
            left = {id: asked for id, asked in left.items() if id not in finished}
            if not left:
                return [outcomes[asked.id] for asked in requests]
        raise Unavailable(STORE, f"other writers kept opening {len(left)} products; gave up after {MAX_TURNS} turns")

    async def _turn(self, requests: Sequence[Request]) -> dict[str, Outcome]:
        """One turn. Returns the outcomes of the products that it opened; another writer has opened the others."""
        ends = await self._coverage.ends(requests)
        seen = await self._points.look([asked.id for asked in requests])
        opened = {one.seen.product_id: one for one in await self._points.open(seen)}
        mine = [asked for asked in requests if asked.id in opened]
        if not mine:
            return {}
        found = await self._catalogue.link_sets([asked.id for asked in mine])
        result = self._result(opened, found, {asked.id: asked for asked in mine})
        await self._topic.publish(result.outputs)
        await self._points.close(result.closing, unpublished=result.rejected.keys())
        self._coverage.note([asked for asked in mine if asked.id not in result.rejected], ends)
        log.info(
            "products_linked",
            products=len(result.closing),
            changed=len(result.outputs),
            opened_by_others=len(seen) - len(mine),
        )
        return {asked.id: result.rejected.get(asked.id, Applied()) for asked in mine}

    def _result(self, opened: Mapping[str, Opened], found: Sequence[LinkSet], asked: Mapping[str, Request]) -> Result:
        """A set that equals the one with which the point was closed before is published again only for the products of
        explicit requests.
        """
        result = Result()
        for links in found:
            point = opened[links.product_id]
            request = asked[links.product_id]
            if point.seen.digest != links.digest or request.explicit:
                record = self._topic.record(links, point.version + 1, request.carried)
                if isinstance(record, Rejected):
                    result.rejected[links.product_id] = record
                else:
                    result.outputs.append(record)
            result.closing.append((point, links))
        return result
