"""Servers of the demo's own, so that it neither finds nor leaves anything, and never touches a real catalogue."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from headrace_cli.errors import CommandError
from headrace_cli.installed_stores import opened_stores
from headrace_cli.servers import stack
from headrace_clients.topic_reader import open_topics
from headrace_local.stack import Progress, Stack
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.settings import CommonSettings

CACHE_DIR = "HEADRACE_CACHE_DIR"
OF_A_PIPELINE = ("KAFKA__", "ELASTICSEARCH__", "QDRANT__", "POSTGRES__", "TRITON__", "HTTP__", "TOPIC_PREFIX")
"""What the environment may say of servers elsewhere."""
ADVICE = "the demo needs servers without a catalogue; without --running it starts its own"


@contextmanager
def own_servers(data_dir: Path, progress: Progress) -> Iterator[Stack]:
    """Starts servers on empty data and points this process's environment at them.

    Stops them, however it ends; after a success it removes their data, after a failure the logs stay.
    Raises CommandError if another demo runs here, StackError if a server does not start.
    """
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with FileLock(data_dir.with_suffix(".lock"), timeout=0):
            Stack(data_dir).destroy()
            servers = stack(data_dir, triton=os.environ.get("HEADRACE_EMBEDDER") == "triton")
            try:
                _use(servers.up(progress), servers.data_dir)
                yield servers
            except BaseException:
                servers.down()
                raise
            servers.destroy()
    except Timeout:
        raise CommandError(f"another demo runs in {data_dir}: wait for it or end it") from None


async def refuse_what_is_not_empty() -> None:
    """Raises CommandError if a source topic, the receipts or a store hold anything."""
    settings = CommonSettings()
    sources = [settings.topics.source(kind) for kind in SOURCE_NAMES]
    async with open_topics(settings.kafka, [*sources, settings.topics.receipts]) as reader:
        async for record in reader.until_now():
            raise CommandError(f"the topic {record.topic} is not empty: {ADVICE}")
    async with opened_stores() as stores:
        for name, store in stores.items():
            for kind in SOURCE_NAMES:
                async for _ in store.scan(kind):
                    raise CommandError(f"{name} holds a {kind}: {ADVICE}")


def _use(settings: dict[str, str], data_dir: Path) -> None:
    """The vector cache is new too: the demo embeds every text each time."""
    for name in list(os.environ):
        if name.startswith(tuple(f"HEADRACE_{part}" for part in OF_A_PIPELINE)):
            del os.environ[name]
    os.environ.update(settings | {CACHE_DIR: str(data_dir / "vectors")})
