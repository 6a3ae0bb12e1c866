"""An index in its own database and topics with their own prefix for each test."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.letter_index import database as database
from harness.letter_index import index as index
from harness.letter_index import index_settings as index_settings
from harness.letter_index import sql as sql
from harness.processes import WorkerProcess
from harness.servers import Servers

from headrace_cli.kafka_topics import apply_topics
from headrace_dead_letters.settings import DeadLettersSettings
from headrace_letters.index import LetterIndex
from headrace_worker.settings import ENV_PREFIX

FURTHER_TOPIC = "orders-dlq"


@pytest.fixture
def variables(database: str) -> dict[str, str]:
    """Variables for the index, for topics of this test only and for a further topic, without the prefix HEADRACE_."""
    prefix = f"t{uuid.uuid4().hex[:8]}."
    return {
        "TOPIC_PREFIX": prefix,
        "POSTGRES__DSN": database,
        "DEAD__TOPICS": prefix + FURTHER_TOPIC,
        "KAFKA__SESSION_TIMEOUT": "6",
        "POSTGRES__TIMEOUT": "5",
        "BATCH__MAX_RECORDS": "50",
        "BATCH__BACKOFF_MAX": "1",
    }


@pytest.fixture
async def settings(servers: Servers, index: LetterIndex, variables: dict[str, str]) -> DeadLettersSettings:
    """Settings for the session's broker, with topics for two workers."""
    made = servers.settings(DeadLettersSettings, "kafka", "postgres", **variables)
    await apply_topics(made, ["qdrant", "embed"])
    return made


@pytest.fixture
def process(
    servers: Servers, settings: DeadLettersSettings, variables: dict[str, str], tmp_path: Path
) -> Iterator[WorkerProcess]:
    """The worker as a process, not started."""
    environment = dict(servers.need()) | {ENV_PREFIX + name: value for name, value in variables.items()}
    made = WorkerProcess("dead_letters", environment, tmp_path)
    yield made
    made.end()
