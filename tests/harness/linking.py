"""The link worker's parts on real servers, moved step by step: what becomes visible, what is heard, who consumes."""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from qdrant_client import AsyncQdrantClient, models

from harness.servers import Servers
from headrace_cli.kafka_topics import apply_topics
from headrace_clients.kafka import client_options
from headrace_clients.qdrant import collection_of, connect
from headrace_clients.topic_reader import TopicReader
from headrace_demo.exact_links import Embeddings
from headrace_demo.link_comparison import LinkComparison, compare_links
from headrace_link import records
from headrace_link.app import inputs, receipts
from headrace_link.backlog import Backlog
from headrace_link.catalogue import Catalogue
from headrace_link.collection import collection_name
from headrace_link.listening import ListeningStage
from headrace_link.log_ends import LogEnds
from headrace_link.point import LinkSet, Opened, Seen
from headrace_link.points import LinkPoints
from headrace_link.records import Reported
from headrace_link.settings import LinkSettings
from headrace_link.stage import LinkStage
from headrace_link.store import QdrantLinks
from headrace_link.sweeps import Sweeps
from headrace_runtime.decoder import Decoded, Decoder
from headrace_runtime.newest import newest_first
from headrace_runtime.publisher import Publisher
from headrace_schemas.changes import ID_FIELDS
from headrace_schemas.embedded import EMBEDDED, EmbeddedChange, Embedding
from headrace_schemas.fields import Kind
from headrace_schemas.links import ProductLinks, Sweep
from headrace_schemas.receipts import Receipt, Receipts
from headrace_worker.stage import Applied, Outcome, Output, Superseded, Unavailable
from headrace_worker.worker import load_worker

Step = Literal["look", "open", "read", "publish", "close"]
STEPS: tuple[Step, ...] = ("look", "open", "read", "publish", "close")
DIMENSION = 4
SWEEP = Sweep().id.encode()
TEXT_FIELDS: dict[Kind, str] = {"product": "title", "keyword": "text"}

Hook = Callable[[], Awaitable[None]]


class Died(Exception):
    """A consumer's process ends here."""


class Hooks:
    """What happens right after a step of the protocol, once."""

    def __init__(self) -> None:
        self._hooks: dict[Step, Hook] = {}

    def after(self, step: Step, hook: Hook) -> None:
        """Runs it after the next such step."""
        self._hooks[step] = hook

    def clear(self) -> None:
        """Nothing happens any more."""
        self._hooks.clear()

    async def run(self, step: Step) -> None:
        """The step was taken."""
        hook = self._hooks.pop(step, None)
        if hook is not None:
            await hook()


class HookedPoints(LinkPoints):
    """Points whose steps have hooks. `opens`: how often each product was opened."""

    def __init__(self, client: AsyncQdrantClient, collection: str, hooks: Hooks) -> None:
        super().__init__(client, collection)
        self.hooks = hooks
        self.opens: list[str] = []

    async def look(self, product_ids: Sequence[str]) -> list[Seen]:
        seen = await super().look(product_ids)
        await self.hooks.run("look")
        return seen

    async def open(self, seen: Sequence[Seen]) -> list[Opened]:
        opened = await super().open(seen)
        self.opens += [one.seen.product_id for one in opened]
        await self.hooks.run("open")
        return opened

    async def close(self, closing: Sequence[tuple[Opened, LinkSet]]) -> None:
        await super().close(closing)
        await self.hooks.run("close")


class HookedCatalogue(Catalogue):
    """A catalogue whose read has a hook."""

    hooks: Hooks

    async def link_sets(self, product_ids: Sequence[str]) -> list[LinkSet]:
        found = await super().link_sets(product_ids)
        await self.hooks.run("read")
        return found


class Linking:
    """Products and keywords in Qdrant, as the qdrant worker puts them there, and everything that links them.

    `options`: of `LinkOptions`.
    """

    def __init__(self, servers: Servers, dimension: int = DIMENSION, **options: Any) -> None:
        unique = uuid.uuid4().hex[:10]
        self._dimension = dimension
        settings = servers.settings(
            LinkSettings, "kafka", "qdrant", TOPIC_PREFIX=f"l{unique}.", MODEL=f"m{unique}", DIMENSION=str(dimension)
        )
        settings.kafka.partitions = 1
        settings.link = settings.link.model_copy(update={"k": 2, "sweep_wait": 0.0} | options)
        self.settings = settings
        self._pending: list[Receipt] = []
        self.sweeps = 0
        self._versions = 0
        self._live: dict[Kind, dict[str, tuple[str, list[float]]]] = {"product": {}, "keyword": {}}
        self._deleted: dict[Kind, set[str]] = {"product": set(), "keyword": set()}
        self._contents: dict[str, str] = {}
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        """Makes topics and collections."""
        settings = self.settings
        self.client = connect(settings.qdrant)
        self._stack.push_async_callback(self.client.close)
        await apply_topics(settings, ["link"])
        self.links = QdrantLinks(self.client, settings)
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
        self._log = await self._reader(settings.topics.product_links)
        self._published: dict[str, ProductLinks] = {}
        ends = LogEnds(settings.kafka)
        self._stack.push_async_callback(ends.close)
        self._backlog = Backlog(ends, settings.topics, settings.model)
        self.listener = self.new_listener()
        self.consumer = await self.new_consumer(0)

    async def close(self) -> None:
        """Removes the collections and closes the connections."""
        names = [collection_of(kind, self.settings.model) for kind in ID_FIELDS]
        for name in [*names, collection_name(self.settings.model)]:
            await self.client.delete_collection(name)
        await self._stack.aclose()

    async def put(self, kind: Kind, id: str, vector: Sequence[float], text: str | None = None, **fields: Any) -> None:
        """An entity becomes visible with this vector, whose length does not matter; its receipt is on its way."""
        await self._apply([self._upsert(kind, id, vector, text, **fields)])

    async def put_many(self, kind: Kind, vectors: Mapping[str, Sequence[float]]) -> None:
        """Many entities at once."""
        await self._apply([self._upsert(kind, id, vector, None) for id, vector in vectors.items()])

    async def rename(self, kind: Kind, id: str, text: str) -> None:
        """An entity has another text, which is embedded as the one it had."""
        old, vector = self._live[kind][id]
        content = self._contents.get(old, old)
        self._contents[text] = content
        await self.put(kind, id, vector, text)

    async def ask(self, *product_ids: str) -> None:
        """Requests for these products, as an operator sends them."""
        await self.publish([records.request(self.settings.topics.relink, id) for id in product_ids])

    async def sweep(self) -> None:
        """A sweep marker, as an operator sends it."""
        await self.publish([records.sweep(self.settings.topics.relink)])

    async def forget_receipts(self, change: Awaitable[None]) -> None:
        """A change becomes visible, and its receipt is lost."""
        before = list(self._pending)
        await change
        self._pending = before

    async def lose_the_state(self) -> None:
        """The collection of links is emptied."""
        everything = models.FilterSelector(filter=models.Filter())
        await self.client.delete(collection_name(self.settings.model), everything, wait=True)

    async def delete(self, kind: Kind, id: str) -> None:
        """An entity is gone; its receipt is on its way."""
        await self._apply([self._change(kind, id, op="delete")])
        self._live[kind].pop(id, None)
        self._deleted[kind].add(id)

    async def hear(self, *, listener: ListeningStage | None = None, shuffled: np.random.Generator | None = None) -> int:
        """The receipts that are on their way are heard, and what follows is asked for; how many requests. `shuffled`:
        only some of them, in another order, the last one twice.
        """
        if not self._pending:
            return 0
        heard, self._pending = self._pending, []
        if shuffled is not None:
            heard = [heard[place] for place in shuffled.permutation(len(heard))]
            cut = int(shuffled.integers(1, len(heard) + 1))
            heard, self._pending = [*heard[:cut], heard[cut - 1]], heard[cut:]
        report = Receipts(worker="qdrant", applied_at=datetime.now(UTC), receipts=heard)
        item = self._decoded(receipts(self.settings), report.model_dump_json().encode(), self.settings.topics.receipts)
        (outcome,) = await (listener or self.listener).apply([item])
        assert isinstance(outcome, Applied)
        await self.publish(outcome.outputs)
        self.sweeps += sum(output.key == SWEEP for output in outcome.outputs)
        return len(outcome.outputs)

    def take_receipts(self) -> list[Receipt]:
        """The receipts that are on their way, which they are no longer."""
        taken, self._pending = self._pending, []
        return taken

    async def publish(self, outputs: Sequence[Output]) -> None:
        """Publishes, and waits for the acknowledgement."""
        await self._publisher.publish(outputs)

    async def quiet(self) -> None:
        """Everything that is on its way arrives."""
        while True:
            heard = await self.hear()
            worked = await self.consumer.work()
            if not heard and not worked and not self._pending:
                return

    async def published(self) -> dict[str, ProductLinks]:
        """What a store fenced by link version holds."""
        async for record in self._log.until_now():
            links = ProductLinks.model_validate_json(record.value)
            held = self._published.get(links.product_id)
            if held is None or held.version < links.version:
                self._published[links.product_id] = links
        return dict(self._published)

    async def linked(self, product_id: str) -> list[str] | None:
        """The published keyword ids of a product, best first; None if it is a tombstone or was never published."""
        links = (await self.published()).get(product_id)
        return None if links is None or links.deleted else [link.keyword_id for link in links.links]

    async def check(self) -> None:
        """Both what is published and what Qdrant holds is what brute force finds, and nothing is open."""
        held = list((await self.published()).values())
        assert await self._differences(_each(held)) == []
        assert await self._differences(self.links.scan_links()) == []
        assert await self.consumer.points.open_now() == set()

    async def reset(self) -> None:
        """Empties the collections, and forgets what was published and what is on its way."""
        everything = models.FilterSelector(filter=models.Filter())
        names = [collection_of(kind, self.settings.model) for kind in ID_FIELDS]
        for name in [*names, collection_name(self.settings.model)]:
            await self.client.delete(name, everything, wait=True)
        await self.consumer.skip()
        self.consumer.forget()
        self.listener = self.new_listener()
        await self.published()
        self._published.clear()
        self._pending.clear()
        for kind in ID_FIELDS:
            self._live[kind].clear()
            self._deleted[kind].clear()

    def new_listener(self) -> ListeningStage:
        """A listening stage as a process starts with it."""
        catalogue, points = self._reads(Hooks())
        return ListeningStage(catalogue, points, self._backlog, self.settings.link, self.settings.topics.relink)

    async def new_consumer(self, start: int | None = None) -> "Consumer":
        """A consumer of requests as a process starts with it, from what `consumer` has committed."""
        topics = self.settings.topics
        log = await self._reader(topics.relink)
        ends = LogEnds(self.settings.kafka)
        self._stack.push_async_callback(ends.close)
        hooks = Hooks()
        catalogue, points = self._reads(hooks)
        backlog = Backlog(ends, topics, self.settings.model)
        sweeps = Sweeps(catalogue, points, backlog, topics.relink, self.settings.link.sweep_wait)

        async def publish(outputs: Sequence[Output]) -> None:
            await self.publish(outputs)
            if all(output.topic == topics.product_links for output in outputs):
                await hooks.run("publish")

        stage = LinkStage(
            catalogue,
            points,
            ends,
            sweeps,
            publish,
            topic=topics.product_links,
            relink_topic=topics.relink,
            max_bytes=2 * self.settings.kafka.max_record_bytes,
        )
        decoder = Decoder(inputs(self.settings), topics.replay("link"))
        return Consumer(stage, points, hooks, log, decoder, self.consumer.committed if start is None else start)

    async def _reader(self, topic: str) -> TopicReader:
        """Of a topic from its beginning. Its short fetches keep a question for the topic's end from waiting long."""
        consumer = AIOKafkaConsumer(
            **client_options(self.settings.kafka), fetch_max_wait_ms=10, auto_offset_reset="earliest"
        )
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.start()
        self._stack.push_async_callback(consumer.stop)
        return TopicReader(consumer, [partition])

    def _reads(self, hooks: Hooks) -> tuple[HookedCatalogue, HookedPoints]:
        options = self.settings.link
        catalogue = HookedCatalogue(self.client, self.settings.model, options.k, options.min_score)
        catalogue.hooks = hooks
        return catalogue, HookedPoints(self.client, collection_name(self.settings.model), hooks)

    def _upsert(self, kind: Kind, id: str, vector: Sequence[float], text: str | None, **fields: Any) -> EmbeddedChange:
        unit = np.asarray(vector, np.float64)
        unit = unit / np.linalg.norm(unit)
        text = text or f"{id} at {unit.round(3).tolist()}"
        embedding = Embedding(
            model=self.settings.model,
            content_hash=hashlib.sha256(self._contents.get(text, text).encode()).hexdigest(),
            vector=unit.astype("<f4").tobytes(),
        )
        self._live[kind][id] = (text, unit.tolist())
        self._deleted[kind].discard(id)
        return self._change(kind, id, op="upsert", embedding=embedding, **{TEXT_FIELDS[kind]: text}, **fields)

    def _change(self, kind: Kind, id: str, **fields: Any) -> EmbeddedChange:
        self._versions += 1
        base = {ID_FIELDS[kind]: id, "version": self._versions, "occurred_at": datetime.now(UTC)}
        return EMBEDDED[kind](**base, **fields)

    async def _apply(self, changes: Sequence[EmbeddedChange]) -> None:
        outcomes = await self._sink.apply(changes)
        assert all(isinstance(outcome, Applied) for outcome in outcomes)
        self._pending += [
            Receipt(
                topic=self.settings.topics.embedded(change.kind, self.settings.model),
                partition=0,
                offset=change.version,
                outcome="applied",
                kind=change.kind,
                id=change.id,
            )
            for change in changes
        ]

    def _decoded(self, models: Any, value: bytes, topic: str) -> Reported:
        record = _Record(topic, self._versions, value)
        item = Decoder(models, self.settings.topics.replay("link")).decode(record)
        assert isinstance(item, Decoded)
        assert isinstance(item.change, Reported)
        return item.change

    def _embeddings(self, kind: Kind) -> Embeddings:
        live = self._live[kind]
        vectors = np.asarray([vector for _, vector in live.values()], np.float32).reshape(len(live), self._dimension)
        return Embeddings(list(live), [text for text, _ in live.values()], vectors, frozenset(self._deleted[kind]))

    async def _differences(self, held: AsyncIterator[ProductLinks]) -> list[tuple[str, str]]:
        options = self.settings.link
        found: LinkComparison = await compare_links(
            held,
            self._embeddings("product"),
            self._embeddings("keyword"),
            k=options.k,
            min_score=options.min_score,
        )
        return found.differences


class Consumer:
    """A consumer of relink requests. `hooks`: what happens after its steps; `points.opens`: what it has computed."""

    def __init__(
        self, stage: LinkStage, points: HookedPoints, hooks: Hooks, log: TopicReader, decoder: Decoder, start: int
    ) -> None:
        self.stage = stage
        self.points = points
        self.hooks = hooks
        self._log = log
        self._decoder = decoder
        self.committed = start
        self._uncommitted: list[Decoded] = []
        self.outcomes: list[Outcome] = []

    async def take(self) -> list[Decoded]:
        """The requests that are on the topic and not committed."""
        async for record in self._log.until_now():
            item = self._decoder.decode(record)
            assert isinstance(item, Decoded)
            if item.record.offset >= self.committed:
                self._uncommitted.append(item)
        return self._uncommitted

    async def work(self, at_once: int | None = None) -> int:
        """Takes what there is through the stage and commits it; how many requests."""
        items = (await self.take())[:at_once]
        candidates = list(newest_first(items).values())
        if candidates:
            outcomes = await self.stage.apply([newest.change for newest, *_ in candidates])  # type: ignore[misc]
            for outcome in outcomes:
                if isinstance(outcome, Unavailable):
                    raise outcome
            self.outcomes += outcomes
            self.outcomes += [Superseded()] * (len(items) - len(candidates))
        self._commit(len(items))
        return len(items)

    async def skip(self) -> None:
        """Commits what there is, unread."""
        self._commit(len(await self.take()))

    def forget(self) -> None:
        """What it has computed and answered so far counts no more."""
        self.points.opens.clear()
        self.outcomes.clear()

    def _commit(self, requests: int) -> None:
        for item in self._uncommitted[:requests]:
            self.committed = item.record.offset + 1
        del self._uncommitted[:requests]

    async def die_after(self, step: Step) -> None:
        """Works, and dies right after the step."""

        async def die() -> None:
            raise Died

        self.hooks.after(step, die)
        try:
            await self.work()
        except Died:
            return


class Paused:
    """Stops a consumer after a step until it is let go on."""

    def __init__(self, consumer: Consumer, step: Step) -> None:
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()
        consumer.hooks.after(step, self._pause)

    async def _pause(self) -> None:
        self.reached.set()
        await self.go_on.wait()


class _Record:
    """A Kafka record, as far as the decoder looks at it."""

    def __init__(self, topic: str, offset: int, value: bytes) -> None:
        self.topic, self.partition, self.offset, self.timestamp = topic, 0, offset, 0
        self.key, self.value, self.headers = None, value, ()


async def _each(held: Sequence[ProductLinks]) -> AsyncIterator[ProductLinks]:
    for links in held:
        yield links
