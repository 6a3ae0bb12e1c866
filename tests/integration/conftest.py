"""Makes topics with a new prefix for each test."""

import uuid

import pytest
from harness.servers import Servers

from headrace_cli.kafka_topics import apply_topics
from headrace_worker.settings import WorkerSettings


@pytest.fixture
async def settings(servers: Servers) -> WorkerSettings:
    """Settings of the session's broker."""
    made = servers.settings(WorkerSettings, "kafka", TOPIC_PREFIX=f"t{uuid.uuid4().hex[:8]}.")
    await apply_topics(made, ["memory"])
    return made
