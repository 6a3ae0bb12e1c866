"""The collection `product_links` of one model, and the alias that readers use."""

from qdrant_client import AsyncQdrantClient, models

from headrace_clients.qdrant_collections import create_alias, create_collection, create_indexes
from headrace_clients.settings import QdrantSettings
from headrace_link.point import PROBE
from headrace_worker.store_names import StoreNames

LINK_SETS = "product_links"
INDEXES = {
    "open": models.PayloadSchemaType.BOOL,
    "deleted": models.PayloadSchemaType.BOOL,
    "keyword_ids": models.PayloadSchemaType.KEYWORD,
}


def collection_name(names: StoreNames) -> str:
    """The name of the physical collection."""
    return names.of_model(LINK_SETS)


async def create_missing(
    client: AsyncQdrantClient, names: StoreNames, dimension: int, settings: QdrantSettings
) -> list[str]:
    """Creates the collection, its payload indexes and its alias if they are missing. Returns one line for each.

    Raises WrongCollection if the collection exists with another dimension.
    """
    collection = collection_name(names)
    # No graph: every search is exact, because a search of the graph may miss a product.
    no_graph = models.HnswConfigDiff(m=0)
    vectors = models.VectorParams(size=dimension + 1, distance=models.Distance.DOT, hnsw_config=no_graph)
    return [
        *await create_collection(client, collection, PROBE, vectors, settings),
        *await create_indexes(client, collection, INDEXES),
        *await create_alias(client, names.public(LINK_SETS), collection),
    ]
