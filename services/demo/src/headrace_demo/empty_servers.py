"""Servers without a catalogue, which the demo needs: servers of its own, or running ones that are checked.

The records of the demo must never get into a real catalogue.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from headrace_cli.errors import CommandError
from headrace_cli.servers import stack
from headrace_cli.worker_stores import open_stores
from headrace_clients.topic_reader import open_topics
from headrace_local.stack import Progress, Stack
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.settings import CommonSettings

CACHE_DIR = "HEADRACE_CACHE_DIR"
SERVER_VARIABLES = ("KAFKA__", "ELASTICSEARCH__", "QDRANT__", "POSTGRES__", "TRITON__", "HTTP__", "TOPIC_PREFIX")
"""The beginnings of the variables that may name other servers; they are removed from the environment."""
ADVICE = "the demo needs servers without a catalogue; without --running it starts its own"
WITHOUT_CANARY = (
    "the demo counts every record, so it needs new topics and workers without the canary, which "
    "`headrace work NAME ...` starts"
)


@contextmanager
def own_servers(data_dir: Path, progress: Progress) -> Iterator[Stack]:
    """Starts servers on empty data and sets this process's environment to them.

    Stops them on exit. After a success their data is removed; after a failure it stays, with the logs.
    Raises CommandError if another demo runs in this directory, StackError if a server does not start.
    """
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with FileLock(data_dir.with_suffix(".lock"), timeout=0):
            Stack(data_dir).destroy()
            servers = stack(data_dir, triton=os.environ.get("HEADRACE_EMBEDDER") == "triton")
            try:
                _set_environment(servers.up(progress), servers.data_dir)
                yield servers
            except BaseException:
                servers.down()
                raise
            servers.destroy()
    except Timeout:
        raise CommandError(f"another demo runs in {data_dir}: wait for it or end it") from None


async def require_empty() -> None:
    """Raises CommandError if a source topic, the topic of receipts or a store contains anything."""
    settings = CommonSettings()
    sources = [settings.topics.source(kind) for kind in SOURCE_NAMES]
    async with open_topics(settings.kafka, [*sources, settings.topics.receipts]) as reader:
        async for record in reader.until_now():
            if record.key == CANARY_ID.encode():
                raise CommandError(f"the topic {record.topic} has records of the canary: {WITHOUT_CANARY}")
            raise CommandError(f"the topic {record.topic} is not empty: {ADVICE}")
    async with open_stores() as stores:
        for name, store in stores.items():
            for kind in SOURCE_NAMES:
                async for _ in store.scan(kind):
                    raise CommandError(f"{name} contains a {kind}: {ADVICE}")


def _set_environment(settings: dict[str, str], data_dir: Path) -> None:
    """The cache of vectors is new too, so that the demo embeds every text each time."""
    for name in list(os.environ):
        if name.startswith(tuple(f"HEADRACE_{part}" for part in SERVER_VARIABLES)):
            del os.environ[name]
    os.environ.update(settings | {CACHE_DIR: str(data_dir / "vectors")})
