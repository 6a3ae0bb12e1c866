"""The demo's catalogue must not get into a real one."""

from headrace_cli.errors import CommandError
from headrace_cli.stores import opened_stores
from headrace_clients.topic_reader import open_topics
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.settings import CommonSettings


async def refuse_what_is_not_empty() -> None:
    """Raises CommandError if a source topic, the receipts or a store hold anything."""
    settings = CommonSettings()
    sources = [settings.topics.source(kind) for kind in SOURCE_NAMES]
    async with open_topics(settings.kafka, [*sources, settings.topics.receipts]) as reader:
        async for record in reader.until_now():
            raise CommandError(f"the topic {record.topic} is not empty: {_ADVICE}")
    async with opened_stores() as stores:
        for name, store in stores.items():
            for kind in SOURCE_NAMES:
                async for _ in store.scan(kind):
                    raise CommandError(f"{name} holds a {kind}: {_ADVICE}")


_ADVICE = "the demo needs servers without a catalogue; without --running it starts its own"
