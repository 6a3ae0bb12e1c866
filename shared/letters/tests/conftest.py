"""An index in a database of its own for each test, and topics with a prefix of their own."""

import uuid

import pytest
from harness.letter_index import database as database
from harness.letter_index import index as index
from harness.letter_index import index_settings as index_settings
from harness.letter_index import sql as sql
from harness.servers import Servers

from headrace_cli.kafka_topics import apply_topics
from headrace_letters.index_settings import IndexSettings


@pytest.fixture
async def settings(servers: Servers) -> IndexSettings:
    """Settings of the session's broker, with the topics of two workers."""
    made = servers.settings(IndexSettings, "kafka", TOPIC_PREFIX=f"t{uuid.uuid4().hex[:8]}.")
    await apply_topics(made, ["qdrant", "embed"])
    return made
