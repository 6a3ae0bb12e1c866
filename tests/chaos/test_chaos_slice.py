"""A short, seeded slice of `make chaos`: three Kafka nodes, a few faults, and the whole comparison at the end."""

import logging
from pathlib import Path

import pytest

from chaos.cluster import Cluster
from chaos.faults import QUICK
from chaos.run import Run
from chaos.stream import Stream

pytestmark = [pytest.mark.servers, pytest.mark.alone]

SEED = 1
FAULTS = ("kill -9 of a leader", "connections cut", "kill -9 of a worker")
SECONDS = 12.0


async def test_nothing_is_lost_stale_or_resurrected_after_a_leader_a_worker_and_connections_are_lost(
    tmp_path: Path,
) -> None:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    cluster = Cluster(tmp_path, copies=("a",))
    try:
        await cluster.open()
        stream = Stream(cluster.settings, SEED, rate=30, products=120, keywords=40)
        run = Run(cluster, stream, SEED, tmp_path / "events.jsonl")
        try:
            verdict = await run.go(SECONDS, {name: QUICK[name] for name in FAULTS})
        finally:
            await stream.close()
        assert verdict.said == []
        assert verdict.entities == 160
        assert all(done.recovered is not None for done in run.done)
        assert all(counts.get("applied") for counts in verdict.workers.values())
    finally:
        await cluster.close()
