"""Makes real dead letters: a new constraint on a table of pgvector refuses some products."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from harness.installation import Installation, prepared
from harness.letters import letter_of, send
from harness.processes import WorkerProcess
from harness.records import eventually
from harness.servers import Servers
from harness.sinks import Sink
from headrace_clients.group_lag import ConsumerGroup, open_group_reader
from headrace_letters.selection import Selection
from headrace_runtime.decoder import KafkaRecord
from headrace_runtime.publisher import Outgoing
from headrace_schemas.headers import schema_pair
from headrace_worker.stage import Rejected
from headrace_worker.worker import load_worker

DEAREST = 400
FOREIGN_TOPIC = "connect-dlq"
WITHIN = 60.0


class BadDeploy:
    """The workers pgvector and dead_letters as processes, on a topic prefix and in a database of their own."""

    def __init__(self, servers: Servers, installation: Installation, directory: Path) -> None:
        self.installation = installation
        self.foreign_topic = installation.prefix + FOREIGN_TOPIC
        self.environment = installation.environment | {"HEADRACE_DEAD__TOPICS": self.foreign_topic}
        self.dsn = self.environment["HEADRACE_POSTGRES__DSN"]
        self.worker = WorkerProcess("pgvector", self.environment, directory)
        self.indexer = WorkerProcess("dead_letters", self.environment, directory)
        pgvector = load_worker("pgvector")
        settings = installation.settings_of(pgvector, POSTGRES__DSN=self.dsn)
        records = {model.kind: model for model in pgvector.inputs(settings).values() if model.kind != "product_links"}
        self.sink = Sink(pgvector, settings, records)  # type: ignore[arg-type]
        self.store: Any = None

    async def begin(self) -> None:
        """Makes the tables and starts the workers."""
        self.store = await prepared(self.sink.worker, self.sink.settings)
        self.worker.start()
        self.indexer.start()

    async def end(self) -> None:
        """Ends the workers."""
        self.worker.end()
        self.indexer.end()
        await self.store.close()

    async def empty(self) -> None:
        """Removes all products and letters, once the workers have read everything; the cause is gone too."""
        await eventually(self._idle, within=WITHIN)
        await self._execute("ALTER TABLE headrace.products DROP CONSTRAINT IF EXISTS not_dear")
        connection = await asyncpg.connect(self.dsn)
        tables = await connection.fetch(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables "
            "WHERE schemaname = 'headrace' AND tablename <> 'migrations'"
        )
        await connection.execute("TRUNCATE " + ", ".join(row["name"] for row in tables))
        await connection.close()

    async def add_constraint(self) -> None:
        """Adds the constraint: a product that costs DEAREST or more is refused."""
        await self._execute(
            f"ALTER TABLE headrace.products ADD CONSTRAINT not_dear CHECK (price < {DEAREST}) NOT VALID"
        )

    async def repair(self) -> None:
        """Removes the constraint. The letters stay."""
        await self._execute("ALTER TABLE headrace.products DROP CONSTRAINT not_dear")

    async def publish(self, prices: dict[str, float], version: int = 1) -> None:
        """Products with vectors, as embed would publish them."""
        topic = self.sink.settings.topics.embedded("product", self.sink.settings.model)
        records = []
        for id, price in prices.items():
            change = self.sink.upsert("product", id, version, price=price)
            records.append(Outgoing(topic, id.encode(), change.model_dump_json().encode(), [schema_pair(change)]))
        await send(self.sink.settings, records)

    async def waiting(self, count: int) -> None:
        """Returns when the index has so many waiting letters."""
        await eventually(lambda: self._counted("waiting", count), within=WITHIN)

    async def versions(self, ids: list[str]) -> dict[str, int]:
        """Returns the stored version of each id."""
        return {id: stored.version for id, stored in (await self.store.get("product", ids)).items()}

    async def statuses(self) -> dict[Any, int]:
        """Returns the number of letters of each status."""
        return await self.installation.index.count(Selection())

    async def send_letters(self, records: list[KafkaRecord], rejection: Rejected) -> None:
        """Publishes dead letters of these records, as the worker would."""
        await send(self.sink.settings, [letter_of(self.sink.settings, "pgvector", one, rejection) for one in records])

    async def _counted(self, status: Any, count: int) -> bool:
        return (await self.statuses()).get(status) == count

    async def _idle(self) -> bool:
        """Whether pgvector has read all changes and replays, and dead_letters everything that this wrote."""
        settings = self.installation.settings
        topics = self.installation.settings.topics
        replayed = {*self.sink.worker.inputs(self.sink.settings), topics.replay("pgvector")}
        written = {topics.dead("pgvector"), topics.receipts}
        async with open_group_reader(settings.kafka) as reader:
            for name, read in (("pgvector", replayed), ("dead_letters", written)):
                group = ConsumerGroup(name, settings.topic_prefix + name, frozenset(read))
                if any((await reader.read([group]))[group.name].lag.values()):
                    return False
        return True

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.dsn)
        await connection.execute(statement)
        await connection.close()


@asynccontextmanager
async def open_bad_deploy(servers: Servers, directory: Path) -> AsyncIterator[BadDeploy]:
    """Runs the deploy, without the constraint, while the block runs."""
    installation = Installation(servers, "pgvector")
    await installation.open()
    deploy = BadDeploy(servers, installation, directory)
    try:
        await deploy.begin()
        try:
            yield deploy
        finally:
            await deploy.end()
    finally:
        await installation.close()
