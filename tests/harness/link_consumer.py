"""A consumer of relink requests that a test can interrupt after each step of the link protocol."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from typing import Any, Literal

from qdrant_client import AsyncQdrantClient

from headrace_clients.topic_reader import TopicReader
from headrace_link.catalogue import Catalogue
from headrace_link.link_set import LinkSet
from headrace_link.point import Opened, Seen
from headrace_link.point_queries import PointQueries
from headrace_link.point_writes import PointWrites
from headrace_link.product_links import Publish
from headrace_link.records import Request, SweepMarker
from headrace_link.stage import LinkStage
from headrace_schemas import headers
from headrace_schemas.links import Sweep
from headrace_worker.stage import Arrival, Outcome, Output, Superseded, Unavailable
from headrace_worker.store_names import StoreNames

Step = Literal["look", "open", "read", "publish", "close"]
STEPS: tuple[Step, ...] = ("look", "open", "read", "publish", "close")
Place = Step | Literal["holders", "probes"]
"""Where a hook can run: after a step of the protocol, or after the first or the second query of a keyword's
receipt."""
SWEEP_SCHEMA = headers.schema_header(Sweep.schema_name, Sweep.schema_major)

Hook = Callable[[], Awaitable[None]]


class Died(Exception):
    """The process of a consumer ends here."""


class Hooks:
    """Runs a test's code right after a step of the protocol, once."""

    def __init__(self) -> None:
        self._hooks: dict[Place, Hook] = {}

    def after(self, place: Place, hook: Hook) -> None:
        """Runs `hook` after the next such step."""
        self._hooks[place] = hook

    def clear(self) -> bool:
        """Removes the hooks that did not run. Returns whether all of them ran."""
        all_ran = not self._hooks
        self._hooks.clear()
        return all_ran

    async def run(self, place: Place) -> None:
        """Runs the hook of this step, if there is one."""
        hook = self._hooks.pop(place, None)
        if hook is not None:
            await hook()


class HookedWrites(PointWrites):
    """Look, open and close with hooks. `opened`: the product of each opening, in order."""

    def __init__(self, client: AsyncQdrantClient, queries: PointQueries, hooks: Hooks) -> None:
        super().__init__(client, queries)
        self._hooks = hooks
        self.opened: list[str] = []

    async def look(self, product_ids: Sequence[str]) -> list[Seen]:
        seen = await super().look(product_ids)
        await self._hooks.run("look")
        return seen

    async def open(self, seen: Sequence[Seen]) -> list[Opened]:
        opened = await super().open(seen)
        self.opened += [one.seen.product_id for one in opened]
        await self._hooks.run("open")
        return opened

    async def close(self, closing: Sequence[tuple[Opened, LinkSet]], *, unpublished: Set[str] = frozenset()) -> None:
        await super().close(closing, unpublished=unpublished)
        await self._hooks.run("close")


class HookedQueries(PointQueries):
    """The queries for the products linked to keywords (holders) and for the probes that keywords reach have hooks."""

    def __init__(self, client: AsyncQdrantClient, collection: str, hooks: Hooks) -> None:
        super().__init__(client, collection)
        self._hooks = hooks

    async def open_or_outdated(self, contents: Mapping[str, str | None]) -> set[str]:
        found = await super().open_or_outdated(contents)
        await self._hooks.run("holders")
        return found

    async def reached_by(self, vectors: Mapping[str, Sequence[float]], limit: int) -> set[str]:
        found = await super().reached_by(vectors, limit)
        await self._hooks.run("probes")
        return found


class HookedCatalogue(Catalogue):
    """A catalogue whose read has a hook."""

    def __init__(self, client: AsyncQdrantClient, names: StoreNames, k: int, min_score: float, hooks: Hooks) -> None:
        super().__init__(client, names, k, min_score)
        self._hooks = hooks

    async def link_sets(self, product_ids: Sequence[str]) -> list[LinkSet]:
        found = await super().link_sets(product_ids)
        await self._hooks.run("read")
        return found


class HookedPublisher:
    """Publishes outputs through `send`, which a test may replace; a hook follows each publication of link sets."""

    def __init__(self, send: Publish, product_links: str, hooks: Hooks) -> None:
        self.send = send
        self._product_links = product_links
        self._hooks = hooks

    async def publish(self, outputs: Sequence[Output]) -> None:
        await self.send(outputs)
        if all(output.topic == self._product_links for output in outputs):
            await self._hooks.run("publish")


class RelinkLog:
    """The topics of relink requests, read once for all consumers of a test. Each has one partition.

    The place of a request in this log is its place in the order of reading, and not its offset.
    """

    def __init__(self, reader: TopicReader) -> None:
        self._reader = reader
        self._asked: list[Request | SweepMarker] = []
        self._reading = asyncio.Lock()

    async def since(self, place: int) -> list[Request | SweepMarker]:
        """What was read from this place on."""
        async with self._reading:
            self._asked += [_decoded(record) async for record in self._reader.until_now()]
        return self._asked[place:]


class Consumer:
    """A consumer of relink requests.

    `committed`: the place of its next request in the log. `outcomes`: one for each request.
    """

    def __init__(
        self, stage: LinkStage, points: HookedWrites, publisher: HookedPublisher, hooks: Hooks, log: RelinkLog
    ) -> None:
        self.stage = stage
        self.points = points
        self.publisher = publisher
        self.hooks = hooks
        self.committed = 0
        self.outcomes: list[Outcome] = []
        self._log = log

    async def waiting(self) -> list[Request | SweepMarker]:
        """The requests that are on the topic and not committed."""
        return await self._log.since(self.committed)

    async def work(self, at_once: int | None = None) -> int:
        """Takes the waiting requests, `at_once` at most, through the stage and commits them; returns their number."""
        taken = (await self.waiting())[:at_once]
        newest: dict[tuple[str, str], Request | SweepMarker] = {}
        for asked in sorted(taken, key=lambda asked: asked.version):
            newest[asked.kind, asked.id] = asked
        if newest:
            outcomes = await self.stage.apply(list(newest.values()))
            for outcome in outcomes:
                if isinstance(outcome, Unavailable):
                    raise outcome
            self.outcomes += outcomes
            self.outcomes += [Superseded()] * (len(taken) - len(newest))
        self.committed += len(taken)
        return len(taken)

    async def skip(self) -> None:
        """Commits the waiting requests without taking them through the stage."""
        self.committed += len(await self.waiting())

    def forget(self) -> None:
        """Clears `points.opened` and `outcomes`."""
        self.points.opened.clear()
        self.outcomes.clear()

    async def interrupt(self, step: Step, hook: Hook) -> bool:
        """Works once, and runs the hook right after the step. Returns whether the hook ran."""
        self.hooks.after(step, hook)
        await self.work()
        return self.hooks.clear()

    async def die_after(self, step: Step) -> bool:
        """Works, and dies right after the step. Returns whether it died."""

        async def die() -> None:
            raise Died

        try:
            await self.interrupt(step, die)
        except Died:
            return True
        return False

    def pause_after(self, step: Step) -> "PausedTurn":
        """Works in a task of its own, and stops right after the step."""
        return PausedTurn(self, step)


class PausedTurn:
    """A consumer that works in a task of its own and stops right after a step."""

    def __init__(self, consumer: Consumer, step: Step) -> None:
        self._arrived = asyncio.Event()
        self._resumed = asyncio.Event()
        consumer.hooks.after(step, self._pause)
        self._task = asyncio.create_task(consumer.work())

    async def reached(self) -> bool:
        """Returns True when the consumer has stopped after the step, False if it ended its work without the step."""
        arrived = asyncio.create_task(self._arrived.wait())
        await asyncio.wait([arrived, self._task], return_when=asyncio.FIRST_COMPLETED)
        arrived.cancel()
        return self._arrived.is_set()

    async def resume(self) -> None:
        """Lets the consumer continue, and returns when it has finished. Raises what the stage raises."""
        self._resumed.set()
        await self._task

    async def _pause(self) -> None:
        self._arrived.set()
        await self._resumed.wait()


def _decoded(record: Any) -> Request | SweepMarker:
    model = SweepMarker if dict(record.headers).get(headers.SCHEMA) == SWEEP_SCHEMA else Request
    place = Arrival(record.topic, record.partition, record.offset, False, record.headers)
    return model.model_validate_json(record.value, context=place)
