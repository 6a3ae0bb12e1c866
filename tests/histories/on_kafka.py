"""Histories through the whole pipeline: real Kafka, every worker as a process, and an operator with `headrace dead`.

What a history says about the reading of workers is left out: the processes read as they like, and are killed, paused
and restarted meanwhile.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from subprocess import PIPE, STDOUT

from aiokafka import AIOKafkaProducer
from harness.account import read_account, read_vectors
from harness.catch_up import CatchUp
from harness.forked_command import inherited
from harness.pipeline import Pipeline
from harness.processes import WorkerProcess
from harness.servers import Servers
from harness.verdict import Verdict, judge

from headrace_clients.kafka import client_options, producer
from headrace_schemas.fields import MAX_VERSION
from histories.records import LARGEST, Sent, sent
from histories.steps import History, Malformed, Publish

HEADRACE = Path(sys.executable).with_name("headrace")
SETTLED_WITHIN = 300.0
TOGETHER = 12
"""The most records of one transaction."""
COMMITTED, ABORTED = 0.2, 0.1
"""The shares of the groups of records that are a transaction, and that come after one which is aborted."""
STORES = ("elasticsearch", "postgres", "qdrant")
VARIABLES = {"KAFKA__MAX_RECORD_BYTES": str(LARGEST), "BREAKER__ALLOW_REJECTS": "true"}


class OnKafka:
    """One run of some histories. `servers`: of the pipeline, to break them."""

    def __init__(self, pipeline: Pipeline, servers: Servers, histories: Sequence[History], seed: int) -> None:
        self._pipeline = pipeline
        self._servers = servers
        self._histories = histories
        self._random = Random(seed)
        self.aborted = 0

    async def run(self) -> Verdict:
        """Publishes everything during faults, lets an operator replay and edit the letters, and judges."""
        async with asyncio.TaskGroup() as group:
            publishing = group.create_task(self._publish())
            group.create_task(self._break_until(publishing))
        await self._settled()
        await self._headrace("dead", "replay", "--worker", "embed", "--reason", "again", "--stop-share", "1")
        await self._edit("elasticsearch")
        await self._settled()
        await self._mend()
        await self._settled()
        account = await read_account(self._pipeline, largest=LARGEST)
        return await judge(self._pipeline, account, await read_vectors(self._pipeline.settings))

    async def _settled(self) -> None:
        follow = CatchUp(self._pipeline.settings)
        try:
            await follow.until_settled(SETTLED_WITHIN)
        finally:
            await follow.close()

    async def _publish(self) -> None:
        """The records of each history in its order, those of all histories mixed."""
        waiting = [
            [sent(one, step) for step in one.steps if isinstance(step, Publish | Malformed)] for one in self._histories
        ]
        kafka = self._pipeline.settings.kafka
        # A broker compares the compressed size with the limit of the topic, so an oversized record gets through.
        plain = producer(kafka, linger_ms=0, compression_type="gzip")
        in_transactions = AIOKafkaProducer(
            **client_options(kafka), transactional_id=self._pipeline.prefix, compression_type="gzip"
        )
        await plain.start()
        await in_transactions.start()
        try:
            while waiting := [records for records in waiting if records]:
                chosen = self._random.sample(waiting, min(TOGETHER, len(waiting)))
                group = [records.pop(0) for records in chosen]
                if self._random.random() < ABORTED:
                    await self._transact(in_transactions, self._never(), commit=False)
                if self._random.random() < COMMITTED:
                    await self._transact(in_transactions, group, commit=True)
                else:
                    await self._send(plain, group)
                await asyncio.sleep(0.05)
        finally:
            await plain.stop()
            await in_transactions.stop()

    def _never(self) -> list[Sent]:
        """Changes that win over every other one, if anybody reads them although they are aborted."""
        self.aborted += 1
        chosen = self._random.sample(self._histories, min(3, len(self._histories)))
        return [sent(one, Publish(0, MAX_VERSION, self._random.choice((None, 1)))) for one in chosen]

    async def _transact(self, client: AIOKafkaProducer, records: Sequence[Sent], *, commit: bool) -> None:
        await client.begin_transaction()
        await self._send(client, records)
        await (client.commit_transaction() if commit else client.abort_transaction())

    async def _send(self, client: AIOKafkaProducer, records: Sequence[Sent]) -> None:
        topics = self._pipeline.settings.topics
        sent = [
            await client.send(topics.source(kind), value, key=key, headers=headers)
            for kind, key, value, headers in records
        ]
        await asyncio.gather(*sent)

    async def _break_until(self, publishing: "asyncio.Task[None]") -> None:
        """Kills, pauses and restarts workers and stores, one after the other, until everything is published."""
        while not publishing.done():
            fault = self._random.choice(
                (self._kill_worker, self._pause_worker, self._restart_worker, self._break_store)
            )
            await fault()
            await asyncio.sleep(self._random.uniform(0.5, 2))

    async def _kill_worker(self) -> None:
        worker = self._worker()
        worker.kill()
        await self._start(worker)

    async def _pause_worker(self) -> None:
        worker = self._worker()
        worker.pause()
        await asyncio.sleep(self._random.uniform(0.5, 8))
        worker.resume()

    async def _restart_worker(self) -> None:
        worker = self._worker()
        await asyncio.to_thread(worker.stop)
        await self._start(worker)

    async def _break_store(self) -> None:
        store = self._random.choice(STORES)
        if self._random.random() < 0.5:
            await asyncio.to_thread(self._servers.kill, store)
            await asyncio.to_thread(self._servers.start, store)
        else:
            await asyncio.to_thread(self._servers.pause, store)
            await asyncio.sleep(self._random.uniform(0.5, 10))
            await asyncio.to_thread(self._servers.resume, store)

    def _worker(self) -> WorkerProcess:
        return self._random.choice(list(self._pipeline.workers.values()))

    async def _start(self, worker: WorkerProcess) -> None:
        before = worker.count("worker_started")
        worker.start()
        await asyncio.to_thread(worker.wait_for, "worker_started", more_than=before)

    async def _edit(self, worker: str) -> None:
        """Gives the letters without a text a text, and publishes them as new changes."""
        file = self._pipeline.directory / "letters.jsonl"
        await self._headrace("dead", "export", "--worker", worker, "--failed-for", "invalid", "--output", str(file))
        lines = [json.loads(line) for line in (await asyncio.to_thread(file.read_text)).splitlines()]
        edited = []
        for line in lines:
            value = line.get("value") or {}
            for id, text in (("product_id", "title"), ("keyword_id", "text")):
                if id in value and text in value and value[text] is None:
                    edited.append(line | {"value": value | {text: "wool scarf"}})
        await asyncio.to_thread(file.write_text, "".join(json.dumps(line) + "\n" for line in edited))
        if edited:
            await self._headrace("dead", "import", str(file), "--reason", "the texts were lost")

    async def _mend(self) -> None:
        """Oversized records are accepted from now on; their letters are replayed."""
        self._pipeline.variables.pop("KAFKA__MAX_RECORD_BYTES")
        await self._headrace("topics", "apply")
        for name, worker in self._pipeline.workers.items():
            with suppress(Exception):
                await asyncio.to_thread(worker.stop)
            worker.end()
            self._pipeline.workers[name] = self._pipeline.process(name)
            self._pipeline.workers[name].lines()
            await self._start(self._pipeline.workers[name])
        for name in ("embed", "elasticsearch"):
            await self._headrace(
                "dead", "replay", "--worker", name, "--failed-for", "too_large", "--reason", "accepted"
            )

    async def _headrace(self, *arguments: str) -> None:
        """Runs a command. Some letters fail again or cannot be edited, which is an exit status of 1."""
        process = await asyncio.create_subprocess_exec(
            str(HEADRACE), *arguments, env=inherited() | self._pipeline.environment, stdout=PIPE, stderr=STDOUT
        )
        output, _ = await asyncio.wait_for(process.communicate(), 300)
        assert process.returncode in (0, 1), output.decode()
