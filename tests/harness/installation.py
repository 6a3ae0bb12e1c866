"""Dead letters on real servers: stages that fail on purpose make them; the index and the replays are the product's."""

import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer

from harness.memory import MemoryStage
from harness.records import eventually, read_all, receipts
from harness.servers import Servers
from harness.sinks import servers_of
from headrace_cli.dead.reindex import reindex
from headrace_cli.kafka_topics import apply_topics
from headrace_clients.kafka import client_options
from headrace_clients.topic_reader import partitions_of
from headrace_letters.index import LetterIndex
from headrace_letters.index_settings import IndexSettings
from headrace_letters.installed_stores import open_installed_stores
from headrace_letters.letter_reader import open_letter_reader
from headrace_letters.letter_rows import IndexedLetter
from headrace_letters.prediction import Outcome, predict
from headrace_letters.preview import Preview, preview
from headrace_letters.replay import replay
from headrace_letters.replay_progress import Progress, ReplayOptions
from headrace_letters.selection import Selection
from headrace_schemas.receipts import Receipt
from headrace_worker.settings import WorkerSettings
from headrace_worker.stage import Rejected
from headrace_worker.worker import Worker, load_worker

QUICK = ReplayOptions(answer_within=20.0)
WAITING = Selection(status=("waiting",))


class Faulty:
    """Wraps a stage. While the switch is `broken` it rejects the changes that `affects` selects."""

    def __init__(self, stage: Any, switch: "Switch") -> None:
        self._stage = stage
        self._switch = switch

    async def apply(self, changes: Sequence[Any]) -> Sequence[Any]:
        bad = [self._switch.broken and self._switch.affects(change) for change in changes]
        good = [change for change, is_bad in zip(changes, bad, strict=True) if not is_bad]
        outcomes = iter(await self._stage.apply(good) if good else ())
        refused = Rejected("refused_by_store", "the deploy is bad", ("faulty", "deploy"))
        return [refused if is_bad else next(outcomes) for is_bad in bad]

    async def check(self) -> None:
        await self._stage.check()


class Switch:
    """Whether the deploy is bad, and which changes it affects."""

    def __init__(self, affects: Callable[[Any], bool] = lambda change: True) -> None:
        self.broken = True
        self.affects = affects


def faulty(worker: Worker, switch: Switch) -> Worker:
    """Returns the worker with its own stage behind the switch."""

    @asynccontextmanager
    async def opened(settings: Any) -> AsyncIterator[Any]:
        async with worker.stage(settings) as stage:
            yield Faulty(stage, switch)

    return replace(worker, stage=opened)


def in_memory(worker: Worker, stage: Any | None = None) -> Worker:
    """Returns the worker with a stage in memory, for tests of replays that need no store."""

    @asynccontextmanager
    async def opened(settings: Any) -> AsyncIterator[Any]:
        yield stage or MemoryStage()

    return replace(worker, stage=opened)


class Installation:
    """An installation with its own topic prefix and its own database for the index of dead letters."""

    def __init__(self, servers: Servers, *names: str) -> None:
        self._servers = servers
        self.prefix = f"d{uuid.uuid4().hex[:8]}."
        self.variables: dict[str, str] = {}
        """Further settings of every worker, without their prefix."""
        self._names = names
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        """Makes the topics and the index."""
        database = self.prefix.rstrip(".")
        dsn = str(self._servers.need("kafka", "postgres")["HEADRACE_POSTGRES__DSN"])
        connection = await asyncpg.connect(dsn)
        await connection.execute(f"CREATE DATABASE {database}")
        await connection.close()
        self.environment = dict(self._servers.need()) | {
            "HEADRACE_TOPIC_PREFIX": self.prefix,
            "HEADRACE_POSTGRES__DSN": _in_database(dsn, database),
        }
        own = {"TOPIC_PREFIX": self.prefix, "POSTGRES__DSN": self.environment["HEADRACE_POSTGRES__DSN"]}
        self.settings = self._servers.settings(IndexSettings, "kafka", "postgres", **own)
        await apply_topics(self.settings, self._names)
        self.index = LetterIndex(self.settings.postgres, self.settings.names.schema)
        self._stack.push_async_callback(self.index.close)
        await self.index.prepare()
        self.stores = await self._stack.enter_async_context(open_installed_stores(self.settings_of))
        self.reader = await self._stack.enter_async_context(open_letter_reader(self.settings.kafka))

    async def close(self) -> None:
        """Closes every connection. The database is removed with the server."""
        await self._stack.aclose()

    def settings_of(self, worker: Worker, **variables: str) -> WorkerSettings:
        """Returns the worker's settings with these topics and the stores of the session."""
        return self._servers.settings(
            worker.settings, "kafka", *servers_of(worker), TOPIC_PREFIX=self.prefix, **self.variables | variables
        )

    async def indexed(self, selection: Selection = WAITING) -> list[IndexedLetter]:
        """Indexes all letters of the topics. Returns those of the selection."""
        await reindex(self.settings, self.index, lambda read, of: None)
        return [one async for letters in self.index.walk(selection) for one in letters]

    async def letters(self, worker: str) -> list[Any]:
        """Returns the records of a worker's dead-letter topic."""
        return await read_all(self.settings, self.settings.topics.dead(worker))

    async def replays(self, worker: str) -> list[Any]:
        """Returns the records of a worker's replay topic."""
        return await read_all(self.settings, self.settings.topics.replay(worker))

    async def answered(self, worker: str, records: int) -> None:
        """Waits until the worker has reported so many records."""
        await eventually(lambda: self._has_reported(worker, records), within=60)

    async def read_by(self, *names: str) -> None:
        """Commits for workers that do not run that they have read all of their topics that exist."""
        for name in names:
            worker = load_worker(name)
            read = {*worker.inputs(self.settings_of(worker)), self.settings.topics.replay(name)}
            consumer = AIOKafkaConsumer(**client_options(self.settings.kafka), group_id=worker.group(self.settings))
            await consumer.start()
            topics = sorted(read & await consumer.topics())
            partitions = await partitions_of(self.settings.kafka, topics)
            consumer.assign(partitions)
            await consumer.commit(await consumer.end_offsets(partitions))
            await consumer.stop()

    async def answers(self, worker: str) -> dict[str, Receipt]:
        """Returns the last receipt of each replayed letter."""
        found = await receipts(self.settings, worker)
        ordered = sorted(found.items(), key=lambda item: item[0])
        return {receipt.replay_of: receipt for _, receipt in ordered if receipt.replay_of}

    async def previewed(self, selection: Selection = WAITING, limit: int | None = None) -> Preview:
        """Returns the finished preview."""
        async for found in preview(self.index, self.reader, self.stores, selection, limit=limit):
            last = found
        return last

    async def predicted(self, letters: Iterable[IndexedLetter]) -> dict[str, Outcome]:
        """Returns the predicted outcome of each letter, by its id, for a replay in this order."""
        chosen = [one.letter for one in letters]
        records = [record async for _, record in self.reader.read([letter.at for letter in chosen])]
        predictions = await predict(list(zip(chosen, records, strict=True)), self.stores)
        return {prediction.letter.id: prediction.outcome for prediction in predictions}

    async def replayed(
        self, selection: Selection = WAITING, options: ReplayOptions = QUICK, actor: str = "on-call"
    ) -> Progress:
        """Replays the selection and returns its last progress."""
        async with open_letter_reader(self.settings.kafka) as reader:
            running = replay(
                self.index, reader, self.stores, self.settings, selection, options, actor=actor, reason="fixed"
            )
            async for progress in running:
                last = progress
        return last

    async def _has_reported(self, worker: str, records: int) -> bool:
        return len(await receipts(self.settings, worker)) == records


@asynccontextmanager
async def open_installation(servers: Servers, *names: str) -> AsyncIterator[Installation]:
    """Opens an installation for these workers."""
    installation = Installation(servers, *names)
    await installation.open()
    try:
        yield installation
    finally:
        await installation.close()


async def prepared(worker: Worker, settings: Any) -> Any:
    """Returns the worker's store after its collections, indices or tables are made."""
    assert worker.store is not None
    store = worker.store(settings)
    await store.prepare()
    return store


def _in_database(dsn: str, name: str) -> str:
    head, _, tail = dsn.rpartition("/")
    _, mark, options = tail.partition("?")
    return f"{head}/{name}{mark}{options}"
