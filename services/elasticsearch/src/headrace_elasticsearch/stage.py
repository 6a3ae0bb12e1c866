"""Writes every change to its index under its version, and says what became of each."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from elasticsearch import ApiError, AsyncElasticsearch, TransportError

from headrace_elasticsearch.bulks import BulkLimits, cut
from headrace_elasticsearch.client import connect
from headrace_elasticsearch.documents import Action, Indexed, action
from headrace_elasticsearch.errors import (
    CONFLICT,
    STORE,
    TIMED_OUT,
    TOO_LARGE,
    item_error,
    request_error,
    unavailable,
)  # fmt: skip
from headrace_elasticsearch.indices import Indices, indices
from headrace_elasticsearch.settings import ElasticsearchWorkerSettings
from headrace_worker.stage import Applied, BatchRejected, Outcome, Rejected, Superseded, Unavailable

BULK = "/_bulk?require_alias=true&filter_path=items.*._index,items.*.status,items.*.error.type,items.*.error.reason"
BULK_HEADERS = {"content-type": "application/x-ndjson", "accept": "application/json"}


class Contest(NamedTuple):
    """A change that the index refused as not newer than what it holds."""

    change: Indexed
    physical: str


class ElasticsearchStage:
    """Keeps each index equal to the newest version of each entity and link set.

    Elasticsearch itself decides what is newer: an external version at or below the stored one is a conflict of that
    item alone. A delete is indexed as a tombstone, because a real delete forgets its version after a minute.
    """

    def __init__(self, client: AsyncElasticsearch, indices: Indices, limits: BulkLimits | None = None) -> None:
        self._client = client
        self._indices = indices
        self._limits = limits or BulkLimits()
        self._in_flight = asyncio.Semaphore(self._limits.in_flight)

    async def apply(self, changes: Sequence[Indexed]) -> Sequence[Outcome]:
        """What became of each change, as `Stage` says. If the answer is Unavailable for every one, it is raised."""
        now = datetime.now(UTC)
        actions = (action(change, self._indices[change.kind], now) for change in changes)
        bulks = [self._write(bulk) for bulk in cut(actions, self._limits)]
        outcomes: list[Outcome] = []
        for written in await asyncio.gather(*bulks, return_exceptions=True):
            if isinstance(written, BaseException):
                raise written
            outcomes += written
        if outcomes and all(isinstance(outcome, Unavailable) for outcome in outcomes):
            raise next(_failures(outcomes))
        return outcomes

    async def check(self) -> None:
        """Raises Unavailable unless the cluster answers and holds the primary shards of every index."""
        aliases = [index.alias for index in self._indices.values()]
        try:
            health = self._client.options(request_timeout=5).cluster.health
            await health(index=aliases, wait_for_status="yellow", timeout="2s")
        except ApiError as error:
            if error.status_code == TIMED_OUT:
                raise Unavailable(STORE, f"{', '.join(aliases)}: missing, or without a primary shard") from None
            raise unavailable(error) from None
        except TransportError as error:
            raise unavailable(error) from None

    async def _write(self, bulk: list[Action]) -> list[Outcome]:
        try:
            items = await self._send(bulk)
        except (ApiError, TransportError) as error:
            if isinstance(error, ApiError) and error.status_code == TOO_LARGE:
                return await self._write_halves(bulk)
            failure = request_error(error)
            if isinstance(failure, BatchRejected):
                raise failure from None
            return [failure] * len(bulk)
        answered = [(change, item) for (change, _), item in zip(bulk, items, strict=True)]
        contests = [Contest(change, item["_index"]) for change, item in answered if item["status"] == CONFLICT]
        settled = iter(await self._settle(contests) if contests else ())
        return [next(settled) if item["status"] == CONFLICT else _outcome(item) for _, item in answered]

    async def _send(self, bulk: list[Action]) -> list[dict[str, Any]]:
        body = b"".join(lines for _, lines in bulk)
        async with self._in_flight:
            answer = await self._client.perform_request("POST", BULK, headers=BULK_HEADERS, body=body)
        return [item["index"] for item in answer.body["items"]]

    async def _write_halves(self, bulk: list[Action]) -> list[Outcome]:
        if len(bulk) == 1:
            detail = f"{len(bulk[0].lines)} bytes are more than Elasticsearch takes in one request"
            return [Rejected("too_large", detail, (STORE, str(TOO_LARGE)))]
        middle = len(bulk) // 2
        return await self._write(bulk[:middle]) + await self._write(bulk[middle:])

    async def _settle(self, contests: Sequence[Contest]) -> list[Outcome]:
        """Looks up what the index holds for each refused change: its own version, or a newer one."""
        documents = [{"_index": physical, "_id": change.id} for change, physical in contests]
        try:
            answer = await self._client.mget(docs=documents, source=False)
        except (ApiError, TransportError) as error:
            return [unavailable(error)] * len(contests)
        return [_settled(change, held) for (change, _), held in zip(contests, answer["docs"], strict=True)]


@asynccontextmanager
async def open_stage(settings: ElasticsearchWorkerSettings) -> AsyncIterator[ElasticsearchStage]:
    """The stage on a client of its own, which is closed on exit."""
    async with connect(settings.elasticsearch) as client:
        yield ElasticsearchStage(client, indices(settings.elasticsearch.analyzer))


def _outcome(item: Mapping[str, Any]) -> Outcome:
    error = item.get("error")
    return item_error(item["status"], error) if error else Applied()


def _settled(change: Indexed, held: Mapping[str, Any]) -> Outcome:
    version = held.get("_version", 0)
    if version == change.version:
        return Applied()
    if version > change.version:
        return Superseded(by=version)
    # The document that stood in the way was removed meanwhile, or its index cannot be read.
    return Unavailable(STORE, "a version conflict that could not be looked up")


def _failures(outcomes: Sequence[Outcome]) -> Iterator[Unavailable]:
    return (outcome for outcome in outcomes if isinstance(outcome, Unavailable))
