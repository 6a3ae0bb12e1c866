"""A worker without servers: its consumers are fed by the test, and what it publishes is kept."""

from collections.abc import Sequence

import pytest
from harness.fake_consumers import FakeConsumers

from headrace_runtime.publisher import Outgoing, Publisher
from headrace_worker.stage import Unavailable


class KeptRecords:
    """What is published, in order; `down`: nothing is acknowledged."""

    def __init__(self) -> None:
        self.records: list[Outgoing] = []
        self.down = False

    def topics(self) -> list[str]:
        return [record.topic for record in self.records]


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> KeptRecords:
    kept = KeptRecords()

    async def keep(publisher: Publisher, records: Sequence[Outgoing]) -> None:
        if kept.down and records:
            raise Unavailable("kafka", "is down")
        kept.records.extend(records)

    monkeypatch.setattr(Publisher, "publish", keep)
    return kept


@pytest.fixture
def consumers(monkeypatch: pytest.MonkeyPatch) -> FakeConsumers:
    made = FakeConsumers()
    made.install(monkeypatch)
    return made
