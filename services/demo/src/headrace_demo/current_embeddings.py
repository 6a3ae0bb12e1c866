"""The current vectors of a catalogue, from the topic that `embed` writes."""

from headrace_clients.topic_reader import open_topics
from headrace_expected.links import Embeddings, embeddings
from headrace_schemas.embedded import EMBEDDED
from headrace_schemas.fields import Kind
from headrace_worker.settings import CommonSettings


async def read_embeddings(settings: CommonSettings, kind: Kind) -> Embeddings:
    """The newest vector of every entity of a kind but the canary."""
    async with open_topics(settings.kafka, [settings.topics.embedded(kind, settings.model)]) as reader:
        return embeddings([EMBEDDED[kind].model_validate_json(record.value) async for record in reader.until_now()])
