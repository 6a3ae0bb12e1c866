"""A Kafka record made of values, for readers that expect one of aiokafka."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class PlainRecord:
    """A `KafkaRecord`. Without payload and headers it has only its position and its time."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None = None
    value: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
