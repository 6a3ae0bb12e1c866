"""The recovery of docs/operations.md, run as it is written: every store is right again, and nothing is done twice."""

import asyncio
import re
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from os import environ, pathsep
from pathlib import Path
from subprocess import PIPE, STDOUT

import asyncpg
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from elasticsearch import AsyncElasticsearch
from harness.pipeline import Pipeline
from harness.records import eventually
from harness.servers import Servers

from headrace_clients.kafka import client_options, producer
from headrace_clients.qdrant import connect
from headrace_demo.catalogue.changes import changes, creations
from headrace_demo.catalogue.events import Event
from headrace_local.downloads import cached
from headrace_local.kafka import VERSION
from headrace_local.prerequisites import java_home
from headrace_worker.stage import Unavailable
from headrace_worker.worker import load_worker

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.servers]

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
SEED, PRODUCTS, KEYWORDS, CHANGES = 5, 12, 8, 30
LINK_SINKS = ("elasticsearch", "pgvector")


class Installation(Pipeline):
    """A pipeline with a published catalogue, and a terminal that has Kafka's and Headrace's commands."""

    def __init__(self, servers: Servers, directory: Path) -> None:
        patient = {f"{store}__TIMEOUT": "120" for store in ("QDRANT", "ELASTICSEARCH", "POSTGRES")}
        super().__init__(servers, directory, NAMESPACE=f"r{uuid.uuid4().hex[:8]}", **patient)
        self._bin = directory / "bin"
        self.events: list[Event] = []

    async def publish_catalogue(self) -> None:
        self._bin.mkdir()
        script = self._bin / "kafka-consumer-groups.sh"
        jars = cached(f"kafka-{VERSION}", lambda into: None)
        tool = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
        java = f"{java_home()}/bin/java -XX:TieredStopAtLevel=1 -cp '{jars}/*'"
        script.write_text(f'#!/bin/sh\nexec {java} {tool} "$@"\n')
        script.chmod(0o755)
        await self.publish(list(creations(SEED, products=PRODUCTS, keywords=KEYWORDS)))
        self._created = len(self.events)
        await self.publish(self.further_changes())
        await self.run("headrace wait")
        assert await self.differences(self.events) == []

    async def publish(self, events: list[Event]) -> None:
        client = producer(self.settings.kafka)
        await client.start()
        try:
            for event in events:
                await client.send(self.settings.topics.source(event.kind), event.value, key=event.key)
            await client.flush()
        finally:
            await client.stop()
        self.events += events

    def further_changes(self) -> list[Event]:
        """Changes that come after those that are published."""
        count = len(self.events) - self._created + CHANGES
        return list(changes(SEED, products=PRODUCTS, keywords=KEYWORDS, count=count))[-CHANGES:]

    async def is_right(self, *starts: str) -> bool:
        """Whether no difference begins with one of these words."""
        return not any(found.startswith(starts) for found in await self.differences(self.events))

    async def has_differences(self) -> bool:
        """Whether a store differs from what is published, or does not answer because something is missing."""
        try:
            return await self.differences(self.events) != []
        except Unavailable:
            return True

    async def has_committed(self, worker: str, *topics: str) -> bool:
        """Whether the worker has read all of these topics."""
        ends = {place: end for topic in topics for place, end in (await self.ends(topic)).items()}
        return await self._log_ends.left(load_worker(worker).group(self.settings), ends) == 0

    async def follow(self, heading: str) -> None:
        """Does what a section of the page says: it stops and starts the workers, and runs the commands."""
        (_, section) = PAGE.read_text().split(f"\n### {heading}\n")
        section = re.split(r"\n##+ ", section)[0]
        steps = re.findall(r"Stop `(\w+)`|Start `(\w+)`|```sh\n(.*?)```", section, re.DOTALL)
        assert steps
        for stopped, started, commands in steps:
            if stopped:
                assert await asyncio.to_thread(self.workers[stopped].stop) == 0
            elif started:
                await self.start(started)
            else:
                await self.run(commands)
        await self.run("headrace wait")

    async def start(self, *names: str) -> None:
        for name in names:
            before = self.workers[name].count("worker_started")
            self.workers[name].start()
            await asyncio.to_thread(self.workers[name].wait_for, "worker_started", more_than=before)

    async def stop(self, *names: str) -> None:
        assert await asyncio.gather(*(asyncio.to_thread(self.workers[name].stop) for name in names)) == [0] * len(names)

    async def run(self, commands: str) -> None:
        """Runs shell commands as a user does; the first that fails ends them."""
        inherited = {name: value for name, value in environ.items() if not name.startswith("HEADRACE_")}
        path = pathsep.join((str(self._bin), str(Path(sys.executable).parent), environ["PATH"]))
        process = await asyncio.create_subprocess_exec(
            "sh", "-ec", commands, env=inherited | self.environment | {"PATH": path}, stdout=PIPE, stderr=STDOUT
        )
        output, _ = await asyncio.wait_for(process.communicate(), 300)
        assert process.returncode == 0, output.decode()

    async def ends(self, topic: str) -> dict[TopicPartition, int]:
        consumer = AIOKafkaConsumer(**client_options(self.settings.kafka))
        await consumer.start()
        try:
            places = [TopicPartition(topic, number) for number in range(self.settings.kafka.partitions)]
            return dict(await consumer.end_offsets(places))
        finally:
            await consumer.stop()

    async def expire(self, *topics: str) -> None:
        """Everything on the topics expires."""
        admin = AIOKafkaAdminClient(**client_options(self.settings.kafka))
        await admin.start()
        try:
            for topic in topics:
                ends = await self.ends(topic)
                await admin.delete_records({place: RecordsToDelete(before_offset=end) for place, end in ends.items()})
        finally:
            await admin.close()

    @asynccontextmanager
    async def elasticsearch(self) -> AsyncIterator[AsyncElasticsearch]:
        async with AsyncElasticsearch(self.environment["HEADRACE_ELASTICSEARCH__URL"]) as client:
            yield client

    async def lose_indices(self, *names: str) -> None:
        """The indices are deleted with their aliases."""
        async with self.elasticsearch() as client:
            for name in names:
                physical = list(await client.indices.get_alias(name=f"{self.settings.namespace}-{name}"))
                await client.indices.delete(index=physical)

    async def lose_collections(self, *names: str) -> None:
        client = connect(self.settings_of("qdrant").qdrant)
        try:
            for collection in (await client.get_collections()).collections:
                name = collection.name.removeprefix(f"{self.settings.namespace}-")
                if name != collection.name and name.split("__")[0] in names:
                    assert await client.delete_collection(collection.name)
        finally:
            await client.close()

    async def lose_schema(self) -> None:
        connection = await asyncpg.connect(self.settings_of("pgvector").postgres.dsn.get_secret_value())
        try:
            await connection.execute(f"DROP SCHEMA {self.settings.names.schema} CASCADE")
        finally:
            await connection.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    """Every worker, and stores of a namespace of its own."""
    made = Installation(servers, tmp_path_factory.mktemp("workers"))
    try:
        await made.open()
        await made.publish_catalogue()
        yield made
    finally:
        await made.close()


async def test_link_sets_that_expired_unread_are_published_again_once_for_all_who_missed_them(
    installation: Installation,
) -> None:
    product_links = installation.settings.topics.product_links
    await installation.stop(*LINK_SINKS)
    await installation.publish(installation.further_changes())
    await eventually(lambda: installation.is_right("link:"), within=60)
    assert not await installation.is_right("pgvector: links")
    await installation.expire(product_links)
    before = await installation.ends(product_links)

    await installation.start(*LINK_SINKS)
    for name in LINK_SINKS:
        await asyncio.to_thread(installation.workers[name].wait_for, "expiry_repaired")
    await installation.run("headrace wait")
    assert await installation.differences(installation.events) == []
    published = sum((await installation.ends(product_links)).values()) - sum(before.values())
    assert published == len({event.key for event in installation.events if event.kind == "product"})

    # The hole is behind them: a restart asks for nothing.
    await installation.stop(*LINK_SINKS)
    await installation.start(*LINK_SINKS)
    await installation.publish(installation.further_changes())
    await installation.run("headrace wait")
    assert [installation.workers[name].count("expiry_repaired") for name in LINK_SINKS] == [1, 1]
    assert await installation.differences(installation.events) == []


async def test_the_links_of_a_lost_index_come_back(installation: Installation) -> None:
    await installation.lose_indices("product_keywords")
    await installation.follow("Links in Qdrant or Elasticsearch")
    assert await installation.differences(installation.events) == []


Loss = Callable[[Installation], Awaitable[None]]


async def lost_entities_of_qdrant(installation: Installation) -> None:
    await installation.lose_collections("products", "keywords")


async def lost_links_of_qdrant(installation: Installation) -> None:
    await installation.lose_collections("product_links")


async def lost_entities_of_elasticsearch(installation: Installation) -> None:
    await installation.lose_indices("products", "keywords")


async def lost_schema_of_postgresql(installation: Installation) -> None:
    await installation.lose_schema()


async def expired_changes_with_vectors(installation: Installation) -> None:
    await installation.stop("qdrant", "pgvector")
    await installation.publish(installation.further_changes())
    topics, model = installation.settings.topics, installation.settings.model
    embedded = [topics.embedded(kind, model) for kind in ("product", "keyword")]
    await eventually(lambda: installation.is_right("elasticsearch: product", "elasticsearch: keyword"), within=60)
    await eventually(lambda: installation.has_committed("embed", topics.source("product"), topics.source("keyword")))
    await installation.expire(*embedded)
    await installation.start("qdrant", "pgvector")


@pytest.mark.long
@pytest.mark.parametrize(
    ("lose", "heading"),
    [
        (lost_entities_of_qdrant, "Products or keywords in Qdrant"),
        (lost_links_of_qdrant, "Links in Qdrant or Elasticsearch"),
        (lost_entities_of_elasticsearch, "Products or keywords in Elasticsearch"),
        (lost_schema_of_postgresql, "The schema in PostgreSQL"),
        (expired_changes_with_vectors, "Read the source topics again"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_every_store_is_right_after_the_recovery(installation: Installation, lose: Loss, heading: str) -> None:
    await lose(installation)
    assert await installation.has_differences()
    await installation.follow(heading)
    assert await installation.differences(installation.events) == []


@pytest.mark.long
@pytest.mark.parametrize(("topic", "readers"), [("relink", ("link",)), ("receipts", ("link", "dead_letters"))])
async def test_requests_and_receipts_that_expired_unread_need_nothing(
    installation: Installation, topic: str, readers: tuple[str, ...]
) -> None:
    await installation.stop(*readers)
    await installation.publish(installation.further_changes())
    topics = installation.settings.topics
    await eventually(lambda: installation.is_right("qdrant:"), within=60)
    if topic == "relink":
        await installation.run("headrace relink --all --timeout 0 || true")
    repaired = installation.workers["link"].count("expiry_repaired")
    await installation.expire(getattr(topics, topic))
    await installation.start(*readers)
    await asyncio.to_thread(installation.workers["link"].wait_for, "expiry_repaired", more_than=repaired)
    await installation.run("headrace wait")
    assert await installation.differences(installation.events) == []
