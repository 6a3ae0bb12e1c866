"""Another embedding model, beside the one that is served: its workers read the same topics into objects of their own.

Nothing of two models mixes: the topics with vectors, the requests for links, the consumer groups of `embed` and `link`,
and the objects in the stores are named by model, and a store ignores the link sets of another model.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from headrace_clients.consumer_groups import committed_offsets, open_clients, unread
from headrace_clients.group_lag import ConsumerGroup, installed_groups
from headrace_clients.topic_reader import partitions_of
from headrace_letters.visible_text import visible
from headrace_rebuild.feed import begin_anew
from headrace_rebuild.steps import Say
from headrace_rebuild.target_stage import EMBED
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.opened_stores import opened, workers
from headrace_worker.settings import CommonSettings
from headrace_worker.store import ServesModel
from headrace_worker.worker import Worker, group_of_model

LOOK_SECONDS = 0.5
ALSO_IN_THE_SERVED = {"conflict", "ahead"}
"""Differences that the topics leave in the stores of every model."""


class NotReady(Exception):
    """The workers of the model have not read everything in time, or a store cannot be compared."""


class Compared(NamedTuple):
    """`wrong`: a line for each difference that keeps the model from being served. `notes`: what was not compared."""

    wrong: list[str]
    notes: list[str]


def choose(model: str) -> CommonSettings:
    """The settings of every worker are those of this model from now on, in this process.

    If the settings name another model, they do not say how the groups of this one are named: the second of two models
    has them by model.
    """
    if CommonSettings().model != model:
        os.environ |= {"HEADRACE_MODEL": model, "HEADRACE_GROUPS_BY_MODEL": "true"}
    return CommonSettings()


async def prepare(say: Say) -> list[str]:
    """Creates the topics of the model and its objects in every store; safe to repeat. Raises Unavailable."""
    say("create the topics")
    made = await asyncio.to_thread(_apply_topics)
    async with _stores() as stores:
        for name, store in stores.items():
            say(f"create the objects of {name}")
            made += await store.prepare()
    return made


async def abort(settings: CommonSettings, say: Say) -> list[str]:
    """Removes the objects of the model. A migration to it begins anew from the first of these steps on.

    Raises Unavailable, and before it removes anything InUse, or CommitFailedError if `embed` of the model runs.
    """
    removed: list[str] = []
    async with _stores() as stores:
        for store in stores.values():
            await store.check_unused()
        say("begin anew")
        sources = [settings.topics.source(kind) for kind in SOURCE_NAMES]
        await begin_anew(settings, group_of_model(settings, EMBED), sources)
        for name, store in stores.items():
            say(f"remove the objects of {name}")
            removed += await store.drop_model()
    return removed


async def compare(settings: CommonSettings, seconds: float, say: Say) -> Compared:
    """What `headrace verify` finds in the stores and link sets of the model, once its workers have read what was
    published before the call. Raises NotReady and what aiokafka raises.
    """
    await _read_up_to(settings, seconds, say)
    say("compare")
    return await asyncio.to_thread(_verified)


async def serve(say: Say) -> list[str]:
    """Moves the public names of every store to the model; safe to repeat. Raises Unavailable."""
    moved: list[str] = []
    async with _stores() as stores:
        for name, store in stores.items():
            say(f"switch {name}")
            moved += await store.serve()
    return moved


async def _read_up_to(settings: CommonSettings, seconds: float, say: Say) -> None:
    """Waits until each level of topics is read up to its present end."""
    topics, deadline = settings.topics, time.monotonic() + seconds
    sources = [topics.source(kind) for kind in SOURCE_NAMES]
    embedded = [topics.embedded(kind, settings.model) for kind in SOURCE_NAMES]
    levels = [sources, embedded, [topics.receipts], *[[topics.relink, topics.relink_bulk]] * 3, [topics.product_links]]
    names = ("source topics", "vectors", "receipts", *["requests for links"] * 3, "link sets")
    groups = [group for group in installed_groups(settings) if group.role != "letters"]
    async with open_clients(settings.kafka) as (consumer, admin):
        for level, name in zip(levels, names, strict=True):
            say(f"wait for the {name}")
            partitions = await partitions_of(settings.kafka, level)
            starts = await consumer.beginning_offsets(partitions)
            ends = await consumer.end_offsets(partitions)
            for group in _readers(groups, level):
                while left := sum(unread(starts, ends, await committed_offsets(admin, group.name)).values()):
                    if time.monotonic() > deadline:
                        raise NotReady(f"{group.name} has {left:,} records of {', '.join(level)} to read: does it run?")
                    await asyncio.sleep(LOOK_SECONDS)


def _readers(groups: Sequence[ConsumerGroup], level: Collection[str]) -> list[ConsumerGroup]:
    return [group for group in groups if group.topics & frozenset(level)]


@asynccontextmanager
async def _stores() -> AsyncIterator[dict[str, Any]]:
    """The stores that have objects of each model."""
    openers: dict[Worker, Callable[[Any], Any]] = {}
    for worker in workers():
        if opener := worker.store or worker.links:
            openers[worker] = opener
    async with opened(openers) as stores:
        yield {name: store for name, store in stores.items() if isinstance(store, ServesModel)}


def _apply_topics() -> list[str]:
    done = _headrace("topics", "apply")
    if done.returncode:
        raise NotReady(_said(done))
    return done.stdout.splitlines()


def _verified() -> Compared:
    """With the settings of this process. Raises NotReady if not everything could be compared, and nothing differs."""
    done = _headrace("verify", "--json")
    try:
        report = json.loads(done.stdout)
    except ValueError:
        raise NotReady(f"headrace verify failed: {_said(done)}") from None
    stores = report["stores"]
    wrong = [
        visible(f"{store['store']} {one['kind']} {one['id']}: {one['difference']}: {one['detail']}")
        for store in stores
        for one in store["differences"]
        if one["difference"] not in ALSO_IN_THE_SERVED
    ]
    notes = [visible(f"{store['store']}: {note}") for store in stores for note in store["notes"]]
    if not wrong and not report["known"]:
        problems = [f"{store['store']}: {store['problem']}" for store in stores if store["problem"]]
        late = sum(store["unsettled"] for store in stores)
        problems += [f"{late:,} entities and link sets may only be late"] if late else []
        raise NotReady("; ".join([*filter(None, [report["problem"]]), *problems, *notes]))
    return Compared(wrong, notes)


def _headrace(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "headrace_cli", *arguments], capture_output=True, text=True, check=False
    )


def _said(done: "subprocess.CompletedProcess[str]") -> str:
    """Its error, to which this command adds its own name."""
    return done.stderr.strip().removeprefix("headrace: ")
