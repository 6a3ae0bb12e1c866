"""The options of a producer that the order of effects rests on."""

from typing import Any

import pytest

from headrace_clients import kafka
from headrace_worker.settings import KafkaSettings


def test_a_producer_waits_for_all_in_sync_replicas_and_doubles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "AIOKafkaProducer", lambda **options: options)
    options: Any = kafka.producer(KafkaSettings())
    assert (options["acks"], options["enable_idempotence"]) == ("all", True)
