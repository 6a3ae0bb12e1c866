"""Kafka records as aiokafka returns them, made without a broker."""

import json
from collections.abc import Sequence
from typing import Any

from aiokafka.structs import ConsumerRecord

TOPIC = "headrace.products"
REPLAY_TOPIC = "headrace.replay.memory"
TIMESTAMP_MS = 1_700_000_000_000


def kafka_record(
    value: dict[str, Any] | bytes | None,
    key: bytes | None = None,
    *,
    topic: str = TOPIC,
    partition: int = 0,
    offset: int = 0,
    timestamp: int = TIMESTAMP_MS,
    headers: Sequence[tuple[str, bytes | None]] = (),
) -> Any:
    """Makes a record of that value. A dict becomes JSON, and its id becomes the key unless a key is given."""
    if isinstance(value, dict):
        key = str(value.get("product_id") or value.get("keyword_id")).encode() if key is None else key
        value = json.dumps(value).encode()
    return ConsumerRecord(
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp=timestamp,
        timestamp_type=0,
        key=key,
        value=value,
        checksum=None,
        serialized_key_size=len(key or b""),
        serialized_value_size=len(value or b""),
        headers=tuple(headers),
    )
