"""The link worker's parts on real servers, driven step by step: a change, its receipt, the request, the turn."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from qdrant_client import models

from harness.link_consumer import (
    Consumer,
    HookedCatalogue,
    HookedPublisher,
    HookedQueries,
    HookedWrites,
    Hooks,
    RelinkLog,
)
from harness.link_entities import TEXT_FIELDS, Entities
from harness.servers import Servers
from headrace_cli.kafka_topics import apply_topics
from headrace_clients.kafka import consumer_options
from headrace_clients.qdrant import collection_of, connect, point_id
from headrace_clients.topic_reader import TopicReader
from headrace_demo.link_comparison import compare_links
from headrace_link import records
from headrace_link.collection import collection_name
from headrace_link.factory import Access, link_stage, open_points, receipt_stage
from headrace_link.log_ends import LogEnds
from headrace_link.point_queries import PointQueries
from headrace_link.receipts import ReceiptStage
from headrace_link.records import Reported
from headrace_link.settings import LinkSettings
from headrace_link.store import QdrantLinks
from headrace_runtime.publisher import Publisher
from headrace_schemas.changes import ID_FIELDS
from headrace_schemas.embedded import EmbeddedChange
from headrace_schemas.fields import Kind
from headrace_schemas.links import ProductLinks, Sweep
from headrace_schemas.receipts import Receipt, Receipts
from headrace_worker.stage import Applied, Arrival, Output
from headrace_worker.worker import load_worker

DIMENSION = 4
SWEEP = Sweep().id.encode()
EVERYTHING = models.FilterSelector(filter=models.Filter())


class Linking:
    """Products and keywords in Qdrant, as the qdrant worker writes them, and a link worker in parts.

    `consumer`: the consumer of requests that has the partition. `sweeps`: how many sweep markers the receipts caused.
    A change counts as published as many seconds after 1970 as its version says. `headers`: those of the last link set
    of each product that `published` has read. `options`: of `LinkOptions`.
    """

    def __init__(self, servers: Servers, dimension: int = DIMENSION, **options: Any) -> None:
        unique = uuid.uuid4().hex[:10]
        settings = servers.settings(
            LinkSettings, "kafka", "qdrant", TOPIC_PREFIX=f"l{unique}.", MODEL=f"m{unique}", DIMENSION=str(dimension)
        )
        settings.kafka.partitions = 1
        settings.link = settings.link.model_copy(update={"k": 2, "sweep_wait": 0.0} | options)
        self.settings = settings
        self.sweeps = 0
        self._entities = Entities(settings.model, dimension)
        self._receipts: list[Receipt] = []
        self._published: dict[str, ProductLinks] = {}
        self.headers: dict[str, dict[str, bytes]] = {}
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        """Creates the topics and collections."""
        settings = self.settings
        self._client = connect(settings.qdrant)
        self._stack.push_async_callback(self._client.close)
        await apply_topics(settings, ["link"])
        self.links = QdrantLinks(self._client, settings)
        await self.links.prepare()
        qdrant = load_worker("qdrant")
        own = qdrant.settings.model_construct(
            qdrant=settings.qdrant, model=settings.model, dimension=settings.dimension, kafka=settings.kafka
        )
        assert qdrant.store is not None
        store = qdrant.store(own)
        await store.prepare()
        await store.close()
        self._sink = await self._stack.enter_async_context(qdrant.stage(own))
        self._publisher = Publisher(settings.kafka)
        self._stack.push_async_callback(self._publisher.close)
        self._ends = LogEnds(settings.kafka)
        self._stack.push_async_callback(self._ends.close)
        self._product_links = await self._reader(settings.topics.product_links)
        self._relink = RelinkLog(await self._reader(settings.topics.relink, settings.topics.relink_bulk))
        self.receipt_stage = self.new_receipt_stage()
        self.consumer = self._new_consumer()

    async def close(self) -> None:
        """Removes the collections and closes the connections."""
        for name in self._collections():
            await self._client.delete_collection(name)
        await self._stack.aclose()

    async def put(self, kind: Kind, id: str, vector: Sequence[float], text: str | None = None, **fields: Any) -> None:
        """An entity with this vector, of any length, becomes visible; its receipt is pending."""
        await self._write([self._entities.upsert(kind, id, vector, text, **fields)])

    async def put_many(self, kind: Kind, vectors: Mapping[str, Sequence[float]]) -> None:
        """The same for many entities in one write."""
        await self._write([self._entities.upsert(kind, id, vector) for id, vector in vectors.items()])

    async def rename(self, kind: Kind, id: str, text: str) -> None:
        """An entity gets another text with the same embedding."""
        await self._write([self._entities.rename(kind, id, text)])

    async def store_text(self, kind: Kind, id: str, text: str) -> None:
        """Qdrant has an entity with a text of any length, as it was stored before texts had a limit."""
        await self._client.set_payload(
            collection_of(kind, self.settings.names), {TEXT_FIELDS[kind]: text}, [point_id(id)], wait=True
        )

    async def delete(self, kind: Kind, id: str) -> None:
        """A delete becomes visible; its receipt is pending."""
        await self._write([self._entities.delete(kind, id)])

    async def lose_receipts(self, change: Awaitable[None]) -> None:
        """A change becomes visible, and its receipt is lost."""
        before = list(self._receipts)
        await change
        self._receipts = before

    async def empty_collection(self) -> None:
        """The collection `product_links` loses all points."""
        await self._client.delete(collection_name(self.settings.names), EVERYTHING, wait=True)

    async def request(self, *product_ids: str, republish: bool = False) -> None:
        """Publishes requests for these products; with `republish` as an operator does."""
        topic = self.settings.topics.relink
        await self.publish([records.request(topic, id, republish=republish) for id in product_ids])

    async def sweep(self, *, republish: bool = False, bulk: bool = False) -> None:
        """Publishes a sweep marker; with `republish` as an operator does, in `bulk` as link itself does."""
        topics = self.settings.topics
        topic = topics.relink_bulk if bulk else topics.relink
        await self.publish([records.sweep(topic, republish=republish)])

    async def lose_published(self) -> None:
        """The stores lose every link set that was published."""
        await self.published()
        self._published.clear()

    async def publish(self, outputs: Sequence[Output]) -> None:
        """Publishes, and waits for the acknowledgement."""
        await self._publisher.publish(outputs)

    async def handle_receipts(
        self, *, stage: ReceiptStage | None = None, shuffled: np.random.Generator | None = None
    ) -> int:
        """Takes the pending receipts through the stage of receipts and publishes its requests; returns their number.

        `shuffled`: takes only some of the receipts, in another order, the last one twice.
        """
        if not self._receipts:
            return 0
        taken = self.take_receipts()
        if shuffled is not None:
            taken = [taken[place] for place in shuffled.permutation(len(taken))]
            cut = int(shuffled.integers(1, len(taken) + 1))
            taken, self._receipts = [*taken[:cut], taken[cut - 1]], taken[cut:]
        report = Receipts(worker="qdrant", applied_at=datetime.now(UTC), receipts=taken)
        place = Arrival(self.settings.topics.receipts, 0, 0, False)
        reported = Reported.model_validate_json(report.model_dump_json(), context=place)
        (outcome,) = await (stage or self.receipt_stage).apply([reported])
        assert isinstance(outcome, Applied)
        await self.publish(outcome.outputs)
        self.sweeps += sum(output.key == SWEEP for output in outcome.outputs)
        return len(outcome.outputs)

    def take_receipts(self) -> list[Receipt]:
        """Returns the pending receipts, which are pending no more."""
        taken, self._receipts = self._receipts, []
        return taken

    async def drain(self) -> None:
        """Handles receipts and requests until none is pending."""
        while True:
            requests = await self.handle_receipts()
            worked = await self.consumer.work()
            if not requests and not worked and not self._receipts:
                return

    async def published(self) -> dict[str, ProductLinks]:
        """The content of a store that is fenced by the link version."""
        async for record in self._product_links.until_now():
            links = ProductLinks.model_validate_json(record.value)
            self.headers[links.product_id] = dict(record.headers)
            stored = self._published.get(links.product_id)
            if stored is None or stored.version < links.version:
                self._published[links.product_id] = links
        return dict(self._published)

    async def linked(self, product_id: str) -> list[str] | None:
        """The published keyword ids of a product, best first; None if it is a tombstone or was never published."""
        links = (await self.published()).get(product_id)
        return None if links is None or links.deleted else [link.keyword_id for link in links.links]

    async def open_products(self) -> set[str]:
        """The products whose point is open."""
        return await PointQueries(self._client, collection_name(self.settings.names)).open_now()

    async def find_open_points(self) -> None:
        """A link worker looks twice for points that stay open."""
        points = open_points(self.settings, self._hooked(Hooks())[0])
        await points.look()
        await points.look()

    async def check(self) -> None:
        """Asserts that published and stored sets equal brute force, and that no point is open."""
        await self.check_published()
        assert await self._differences(self.links.scan_links()) == []
        assert await self.open_products() == set()

    async def check_published(self) -> None:
        """Asserts that published sets equal brute force."""
        published = list((await self.published()).values())
        assert await self._differences(_each(published)) == []

    async def reset(self) -> None:
        """Empties the collections, and forgets what was published and what is pending."""
        for name in self._collections():
            await self._client.delete(name, EVERYTHING, wait=True)
        await self.consumer.skip()
        self.consumer = self.new_consumer()
        self.receipt_stage = self.new_receipt_stage()
        await self.lose_published()
        self._receipts.clear()
        self._entities.clear()

    def new_receipt_stage(self, hooks: Hooks | None = None) -> ReceiptStage:
        """A stage of receipts as a new process has it."""
        return receipt_stage(self.settings, self._hooked(hooks or Hooks())[0])

    def new_consumer(self) -> Consumer:
        """A consumer of requests as a new process has it, which starts at what `consumer` has committed."""
        consumer = self._new_consumer()
        consumer.committed = self.consumer.committed
        return consumer

    def _new_consumer(self) -> Consumer:
        hooks = Hooks()
        access, points, publisher = self._hooked(hooks)
        return Consumer(link_stage(self.settings, access), points, publisher, hooks, self._relink)

    def _hooked(self, hooks: Hooks) -> tuple[Access, HookedWrites, HookedPublisher]:
        """What a process reads and writes, with hooks."""
        settings, client = self.settings, self._client
        queries = HookedQueries(client, collection_name(settings.names), hooks)
        points = HookedWrites(client, queries, hooks)
        catalogue = HookedCatalogue(client, settings.names, settings.link.k, settings.link.min_score, hooks)
        publisher = HookedPublisher(self.publish, settings.topics.product_links, hooks)
        return Access(catalogue, points, queries, self._ends, publisher.publish), points, publisher

    async def _reader(self, *topics: str) -> TopicReader:
        """Reads topics from their beginning. A short fetch does not delay the request for the topic's end."""
        consumer = AIOKafkaConsumer(
            **consumer_options(self.settings.kafka), fetch_max_wait_ms=10, auto_offset_reset="earliest"
        )
        partitions = [TopicPartition(topic, 0) for topic in topics]
        consumer.assign(partitions)
        await consumer.start()
        self._stack.push_async_callback(consumer.stop)
        return TopicReader(consumer, partitions)

    def _collections(self) -> list[str]:
        names = self.settings.names
        return [*(collection_of(kind, names) for kind in ID_FIELDS), collection_name(names)]

    async def _write(self, changes: Sequence[EmbeddedChange]) -> None:
        outcomes = await self._sink.apply(changes)
        assert all(isinstance(outcome, Applied) for outcome in outcomes)
        self._receipts += [
            Receipt(
                topic=self.settings.topics.embedded(change.kind, self.settings.model),
                partition=0,
                offset=change.version,
                outcome="applied",
                kind=change.kind,
                id=change.id,
                occurred_at=change.occurred_at,
                published_at=datetime.fromtimestamp(change.version, UTC),
            )
            for change in changes
        ]

    async def _differences(self, sets: AsyncIterator[ProductLinks]) -> list[tuple[str, str]]:
        products, keywords = self._entities.embeddings("product"), self._entities.embeddings("keyword")
        options = self.settings.link
        compared = await compare_links(sets, products, keywords, k=options.k, min_score=options.min_score)
        return compared.differences


async def _each(sets: Sequence[ProductLinks]) -> AsyncIterator[ProductLinks]:
    for links in sets:
        yield links
