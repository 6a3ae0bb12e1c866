"""How the physical indices are read: they have the tombstones, which the aliases hide."""

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from elasticsearch import ApiError, AsyncElasticsearch, TransportError

from headrace_elasticsearch.errors import STORE, unavailable
from headrace_worker.stage import Unavailable

PAGE = 1000
KEEP_ALIVE = "5m"
ALL: Mapping[str, Any] = {"match_all": {}}


@asynccontextmanager
async def answering() -> AsyncGenerator[None]:
    """Turns every failure of a request into Unavailable."""
    try:
        yield
    except (ApiError, TransportError) as error:
        raise unavailable(error) from None


@asynccontextmanager
async def point_in_time(client: AsyncElasticsearch, physical: str) -> AsyncGenerator[str]:
    """The id of the index as of now, for `page`. Raises Unavailable."""
    async with answering():
        pit: str = (await client.open_point_in_time(index=physical, keep_alive=KEEP_ALIVE))["id"]
    try:
        yield pit
    finally:
        async with answering():
            await client.close_point_in_time(id=pit)


async def page(
    client: AsyncElasticsearch,
    pit: str,
    after: list[Any] | None,
    *,
    sort: Sequence[Any],
    query: Mapping[str, Any] = ALL,
) -> list[dict[str, Any]]:
    """The next documents, at most `PAGE`. `after`: the `sort` of the last one before. Raises Unavailable."""
    async with answering():
        answer = await client.search(
            pit={"id": pit, "keep_alive": KEEP_ALIVE},
            query=query,
            sort=sort,
            search_after=after,
            size=PAGE,
            version=True,
            track_total_hits=False,
        )
    hits: list[dict[str, Any]] = answer["hits"]["hits"]
    return hits


async def documents(client: AsyncElasticsearch, physical: str, ids: Sequence[str]) -> list[dict[str, Any]]:
    """The documents with these ids; an unknown id is missing. Raises Unavailable, and what the client raises."""
    found: list[dict[str, Any]] = []
    for some in parts(ids):
        answer = await client.mget(index=physical, ids=some)
        for document in answer["docs"]:
            if "error" in document:
                raise Unavailable(STORE, str(document["error"]["type"]))
            if document["found"]:
                found.append(document)
    return found


def parts(ids: Sequence[str]) -> Iterator[list[str]]:
    """The ids in order, at most `PAGE` at a time."""
    for start in range(0, len(ids), PAGE):
        yield list(ids[start : start + PAGE])
