"""Changes into Elasticsearch, fenced by the version of each document."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from elasticsearch import ApiError, AsyncElasticsearch, TransportError

from headrace_elasticsearch.bulks import BulkLimits, cut
from headrace_elasticsearch.client import connect
from headrace_elasticsearch.documents import Action, Indexed, action
from headrace_elasticsearch.errors import CONFLICT, STORE, TIMED_OUT, item_error, request_error, unavailable
from headrace_elasticsearch.indices import Indices, indices
from headrace_elasticsearch.removal import forget
from headrace_elasticsearch.settings import ElasticsearchWorkerSettings
from headrace_schemas.digest import differ, digest_of
from headrace_schemas.forget_record import Forget
from headrace_worker.parts import write_parts
from headrace_worker.stage import Applied, Conflict, Outcome, Superseded, Unavailable
from headrace_worker.store_calls import count_refused

BULK = "/_bulk?require_alias=true&filter_path=items.*._index,items.*.status,items.*.error.type,items.*.error.reason"
WRITTEN = Applied()
ALREADY_APPLIED = Applied(without_work=True)
BULK_HEADERS = {"content-type": "application/x-ndjson", "accept": "application/json"}


class Refused(NamedTuple):
    """A change that the index refused because it is not newer than what is stored."""

    change: Indexed
    physical: str


class ElasticsearchStage:
    """Keeps each index equal to the newest version of each entity and link set.

    Elasticsearch compares the versions: an external version at or below the stored one is a conflict of that item
    alone. A delete is indexed as a tombstone, because the version of a real delete is forgotten after a minute.
    """

    def __init__(self, client: AsyncElasticsearch, indices: Indices, limits: BulkLimits | None = None) -> None:
        self._client = client
        self._indices = indices
        self._limits = limits or BulkLimits()
        self._slots = asyncio.Semaphore(self._limits.in_flight)

    async def apply(self, changes: Sequence[Indexed]) -> Sequence[Outcome]:
        now = datetime.now(UTC)
        actions = (action(change, self._indices[change.kind], now) for change in changes)
        return await write_parts(list(cut(actions, self._limits)), self._write, self._slots)

    async def forget(self, record: Forget) -> Outcome:
        try:
            version = await forget(self._client, self._indices[record.kind], record)
        except (ApiError, TransportError) as error:
            raise unavailable(error) from None
        return Superseded(by=version) if version is not None and version > record.version else Applied()

    async def check(self) -> None:
        """Raises Unavailable unless the cluster answers and has the primary shards of every index."""
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

    async def _write(self, bulk: Sequence[Action]) -> list[Outcome]:
        """Writes changes in one bulk request. Raises Unavailable or BatchRejected."""
        body = b"".join(lines for _, lines in bulk)
        try:
            answer = await self._client.perform_request(
                "POST", BULK, headers=BULK_HEADERS, body=body, endpoint_id="bulk"
            )
        except (ApiError, TransportError) as error:
            raise request_error(error, len(body)) from None
        items = [item["index"] for item in answer.body["items"]]
        if len(items) == len(bulk) and not any("error" in item for item in items):
            return [WRITTEN] * len(items)
        answered = [(change, item) for (change, _), item in zip(bulk, items, strict=True)]
        refused = [Refused(change, item["_index"]) for change, item in answered if item["status"] == CONFLICT]
        outcome = partial(_outcome, size=len(body), alone=len(bulk) == 1)
        looked_up = iter(await self._look_up(refused) if refused else ())
        outcomes = [next(looked_up) if item["status"] == CONFLICT else outcome(item) for _, item in answered]
        count_refused(STORE, outcomes)
        return outcomes

    async def _look_up(self, refused: Sequence[Refused]) -> list[Outcome]:
        """Reads which version the index stores for each refused change: the change's own, or a newer one."""
        documents = [{"_index": physical, "_id": change.id} for change, physical in refused]
        try:
            answer = await self._client.mget(docs=documents, source_includes="digest")
        except (ApiError, TransportError) as error:
            return [unavailable(error)] * len(refused)
        return [_of_refused(change, found) for (change, _), found in zip(refused, answer["docs"], strict=True)]


@asynccontextmanager
async def open_stage(settings: ElasticsearchWorkerSettings) -> AsyncIterator[ElasticsearchStage]:
    """The stage with its client; the server may be down."""
    async with connect(settings.elasticsearch) as client:
        yield ElasticsearchStage(client, indices(settings.names, settings.elasticsearch.analyzer))


def _outcome(item: Mapping[str, Any], *, size: int, alone: bool) -> Outcome:
    error = item.get("error")
    return item_error(item["status"], error, size, alone=alone) if error else WRITTEN


def _of_refused(change: Indexed, found: Mapping[str, Any]) -> Outcome:
    version = found.get("_version", 0)
    if version == change.version:
        return Conflict() if differ(found["_source"].get("digest"), digest_of(change)) else ALREADY_APPLIED
    if version > change.version:
        return Superseded(by=version)
    # The document was removed since, or its index cannot be read.
    return Unavailable(STORE, "the version behind a version conflict cannot be read")
