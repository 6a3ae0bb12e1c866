"""Data that is lost: an emptied index, or records that expired before a worker read them.

Each is repaired as docs/operations.md says.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import OffsetAndMetadata
from elasticsearch import AsyncElasticsearch
from qdrant_client import AsyncQdrantClient

from chaos.cluster import Cluster
from chaos.scene import ALLOW_REJECTS, Scene, restarted, stopped
from headrace_clients.kafka import client_options
from headrace_clients.qdrant import collection_of, connect
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.worker import load_worker


async def empty_elasticsearch(scene: Scene) -> str:
    """The index of a kind is lost; a new one is filled from the source topics."""
    kind = scene.random.choice(list(SOURCE_NAMES))
    index = SOURCE_NAMES[kind]
    async with AsyncElasticsearch(scene.cluster.direct["HEADRACE_ELASTICSEARCH__URL"]) as client:
        (physical,) = list(await client.indices.get_alias(name=index))
        count = (await client.count(index=physical))["count"]
        await client.indices.delete(index=physical)
    await scene.cluster.run("stores", "apply")
    await read_again(scene.cluster, "elasticsearch")
    return f"Elasticsearch lost {count:,} {index}"


async def empty_postgres(scene: Scene) -> str:
    """The tables lose their rows; then embed reads the source topics again, and every product is linked again."""
    connection = await asyncpg.connect(scene.cluster.direct["HEADRACE_POSTGRES__DSN"])
    schema = scene.cluster.settings.names.schema
    try:
        tables = await connection.fetch(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = $1 AND table_type = 'BASE TABLE'",
            schema,
        )
        kept = ("product", "keyword")
        names = [row[0] for row in tables if row[0].startswith(kept)]
        await connection.execute("TRUNCATE " + ", ".join(f'{schema}."{name}"' for name in names))
    finally:
        await connection.close()
    await read_again(scene.cluster, "embed")
    await scene.cluster.run("relink", "--all")
    return f"PostgreSQL lost the rows of {len(names)} tables"


async def empty_qdrant(scene: Scene) -> str:
    """The collection of a kind is lost; a new one is filled from the source topics, through embed."""
    kind = scene.random.choice(list(SOURCE_NAMES))
    client: AsyncQdrantClient = connect(scene.cluster.settings_of("qdrant").qdrant)
    try:
        collection = collection_of(kind, scene.cluster.settings.names)
        count = (await client.count(collection)).count
        await client.delete_collection(collection)
    finally:
        await client.close()
    await scene.cluster.run("stores", "apply")
    await read_again(scene.cluster, "embed")
    return f"Qdrant lost {count:,} {SOURCE_NAMES[kind]}"


async def expire_embedded(scene: Scene) -> str:
    """Changes with vectors expire while no copy of qdrant reads; then embed reads the source topics again."""
    topics = scene.cluster.settings.topics
    model = scene.cluster.settings.model
    expired = await _expire(scene, ["qdrant"], [topics.embedded(kind, model) for kind in SOURCE_NAMES])
    await read_again(scene.cluster, "embed")
    return f"{expired:,} changes with vectors"


async def expire_requests(scene: Scene) -> str:
    """The worker asks for all links by itself."""
    topics = scene.cluster.settings.topics
    return f"{await _expire(scene, ['link'], [topics.relink, topics.relink_bulk]):,} relink requests"


async def expire_link_sets(scene: Scene) -> str:
    """The workers ask link for every link set by themselves."""
    topic = scene.cluster.settings.topics.product_links
    return f"{await _expire(scene, ['elasticsearch', 'pgvector'], [topic]):,} link sets"


async def read_again(cluster: Cluster, worker: str) -> None:
    """Stops every copy of the worker, sets its group back to the start of the source topics, and starts them.

    The topics may have the records of a bad deploy, for which the workers would hold them again.
    """
    await asyncio.gather(*(stopped(copy) for copy in cluster.copies_of(worker)))
    settings = cluster.settings
    group = load_worker(worker).group(settings)
    # Otherwise its end commits the positions that it had before.
    consumer = AIOKafkaConsumer(**client_options(settings.kafka), group_id=group, enable_auto_commit=False)
    partitions = [
        TopicPartition(settings.topics.source(kind), number)
        for kind in SOURCE_NAMES
        for number in range(settings.kafka.partitions)
    ]
    await consumer.start()
    try:
        consumer.assign(partitions)
        starts = await consumer.beginning_offsets(partitions)
        await consumer.commit({one: OffsetAndMetadata(offset, "") for one, offset in starts.items()})
    finally:
        await consumer.stop()
    await restarted(cluster, worker, **ALLOW_REJECTS)


async def _expire(scene: Scene, readers: Sequence[str], topics: Sequence[str]) -> int:
    """Removes the records that arrive while the readers are stopped. Their number."""
    cluster = scene.cluster
    copies = [copy for name in readers for copy in cluster.copies_of(name)]
    await asyncio.gather(*(stopped(copy) for copy in copies))
    before = await _ends(cluster, topics)
    await scene.wait(3, 6)
    after = await _ends(cluster, topics)
    await cluster.keep_vectors()
    admin = AIOKafkaAdminClient(**client_options(cluster.settings.kafka))
    await admin.start()
    try:
        await admin.delete_records({place: RecordsToDelete(before_offset=end) for place, end in after.items()})
    finally:
        with contextlib.suppress(Exception):
            await admin.close()
    await asyncio.gather(*(cluster.start(copy) for copy in copies))
    return sum(after.values()) - sum(before.values())


async def _ends(cluster: Cluster, topics: Sequence[str]) -> dict[TopicPartition, int]:
    consumer = AIOKafkaConsumer(**client_options(cluster.settings.kafka))
    await consumer.start()
    try:
        partitions = [
            TopicPartition(topic, number) for topic in topics for number in range(cluster.settings.kafka.partitions)
        ]
        return dict(await consumer.end_offsets(partitions))
    finally:
        await consumer.stop()


LOSSES: dict[str, Callable[[Scene], Awaitable[str]]] = {
    "emptied Elasticsearch index": empty_elasticsearch,
    "emptied PostgreSQL tables": empty_postgres,
    "emptied Qdrant collection": empty_qdrant,
    "expired changes with vectors": expire_embedded,
    "expired relink requests": expire_requests,
    "expired link sets": expire_link_sets,
}
