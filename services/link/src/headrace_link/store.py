"""The read side of the link sets in Qdrant, which also creates their collection."""

from collections.abc import AsyncIterator, Sequence

from qdrant_client import AsyncQdrantClient, models

from headrace_clients.qdrant import connect, qdrant_errors
from headrace_clients.qdrant_collections import check_unused, drop_collections, move_alias, other_model
from headrace_link.collection import LINK_SETS, collection_name, create_missing
from headrace_link.point import read_links
from headrace_link.point_queries import PointQueries, field_is
from headrace_link.settings import LinkSettings
from headrace_schemas.canary import CANARY_ID, version_in
from headrace_schemas.links import ProductLinks
from headrace_worker.store import LinkedProduct


def open_links(settings: LinkSettings) -> "QdrantLinks":
    """The store with its client; the server need not be up."""
    return QdrantLinks(connect(settings.qdrant), settings)


class QdrantLinks:
    """The link sets of one model. A version may be above the published one, because a set that has not changed is not
    published again.
    """

    def __init__(self, client: AsyncQdrantClient, settings: LinkSettings) -> None:
        self._client = client
        self._settings = settings
        self._queries = PointQueries(client, collection_name(settings.names))

    async def prepare(self) -> list[str]:
        """Raises WrongCollection if the collection exists with another dimension."""
        settings = self._settings
        with qdrant_errors():
            return await create_missing(self._client, settings.names, settings.vector_size, settings.qdrant)

    async def serve(self) -> list[str]:
        names = self._settings.names
        with qdrant_errors():
            return await move_alias(self._client, names.public(LINK_SETS), collection_name(names))

    async def other_model(self) -> str | None:
        names = self._settings.names
        with qdrant_errors():
            return await other_model(self._client, names.public(LINK_SETS), collection_name(names))

    async def check_unused(self) -> None:
        names = self._settings.names
        with qdrant_errors():
            await check_unused(self._client, {names.public(LINK_SETS): collection_name(names)})

    async def drop_model(self) -> list[str]:
        names = self._settings.names
        with qdrant_errors():
            return await drop_collections(self._client, {names.public(LINK_SETS): collection_name(names)})

    async def refresh(self) -> None:
        """Does nothing: Qdrant shows an acknowledged write at once."""

    async def links_of(self, product_ids: Sequence[str]) -> dict[str, ProductLinks]:
        payloads = await self._queries.payloads(product_ids)
        found = {product_id: read_links(payload) for product_id, payload in payloads.items()}
        return {product_id: links for product_id, links in found.items() if links is not None}

    async def products_of(self, keyword_id: str, limit: int) -> list[LinkedProduct]:
        linked_to = models.Filter(must=[field_is("keyword_ids", keyword_id)])
        found = []
        async for point in self._queries.scan(linked_to):
            links = read_links(point.payload or {})
            for link in links.links if links else ():
                if links is not None and link.keyword_id == keyword_id:
                    found.append(LinkedProduct(links.product_id, links.title or "", link.rank, link.score))
        return sorted(found, key=lambda linked: (-linked.score, linked.product_id))[:limit]

    async def product_count(self, keyword_id: str) -> int:
        return await self._queries.count_linked(keyword_id)

    async def scan_links(self) -> AsyncIterator[ProductLinks]:
        async for point in self._queries.scan():
            links = read_links(point.payload or {})
            if links is not None and links.product_id != CANARY_ID:
                yield links

    async def linked_canary_version(self) -> int | None:
        """The version of the canary keyword in the set of the canary product that a search finds."""
        async for point in self._queries.scan(models.Filter(must=[field_is("keyword_ids", CANARY_ID)])):
            return version_in((point.payload or {})["texts"][0])
        return None

    async def close(self) -> None:
        await self._client.close()
