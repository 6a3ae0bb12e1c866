"""The record of a replay: the original record, with headers that name the letter and the attempt."""

from headrace_letters.installed_stores import ReplayTarget
from headrace_letters.letter import Letter
from headrace_letters.plain_record import PlainRecord
from headrace_runtime.dead_letters import is_ours
from headrace_runtime.decoder import Decoded, Ignored, KafkaRecord, Undecoded, header
from headrace_runtime.publisher import Headers, Outgoing
from headrace_runtime.trace_context import trace_headers
from headrace_schemas import headers
from headrace_schemas.links import RelinkRequest, Sweep
from headrace_schemas.topics import Topics

_ORIGIN = (headers.CONNECT_TOPIC, headers.CONNECT_PARTITION, headers.CONNECT_OFFSET)
"""The position of the original record. The worker identifies the record by it, and a next letter keeps it."""


def decoded(letter: Letter, record: KafkaRecord, place: ReplayTarget) -> Decoded | Undecoded | Ignored:
    """What the worker would decode from a replay of the letter, upgraded to the worker's schema."""
    sent = _copied(letter, record, place.replay_topic)
    return place.decoder.decode(PlainRecord(sent.topic, 0, 0, record.timestamp, sent.key, sent.value, sent.headers))


def outgoing(letter: Letter, record: KafkaRecord, place: ReplayTarget) -> Outgoing:
    """What a replay of the letter publishes: the original key, value and headers, to the worker that failed.

    For a letter of the worker that computes links it publishes a new request, because links come from current data.
    """
    again = new_request(letter, record, place)
    if again is None:
        return _copied(letter, record, place.replay_topic)
    named = [headers.schema_pair(again), *_naming(letter, record), *trace_headers(record.headers)]
    return Outgoing(place.settings.topics.relink, again.id.encode(), again.model_dump_json().encode(), named)


def new_request(letter: Letter, record: KafkaRecord, place: ReplayTarget) -> RelinkRequest | Sweep | None:
    """The request that replaces a failed one, if the worker that computes links wrote the letter."""
    topics: Topics = place.settings.topics
    if topics.relink not in place.inputs:
        return None
    if header(record, headers.CONNECT_TOPIC) == topics.receipts.encode():
        # The products of receipts that could not be read are unknown: request the links of all.
        return Sweep()
    read = decoded(letter, record, place)
    if not isinstance(read, Decoded):
        return None
    if isinstance(read.change, Sweep | RelinkRequest):
        return read.change
    return None


def _copied(letter: Letter, record: KafkaRecord, topic: str) -> Outgoing:
    kept = [(str(name), value) for name, value in record.headers if not is_ours(name)]
    return Outgoing(topic, record.key, record.value, [*kept, *_naming(letter, record)])


def _naming(letter: Letter, record: KafkaRecord) -> Headers:
    origin = [(name, value) for name in _ORIGIN if (value := header(record, name)) is not None]
    return [
        *origin,
        (headers.REPLAY_OF, letter.id.encode()),
        (headers.DEAD_ID, letter.id.encode()),
        (headers.DEAD_ATTEMPTS, str(letter.attempts).encode()),
        (headers.DEAD_FIRST_FAILED_AT, letter.first_failed_at.isoformat().encode()),
    ]
