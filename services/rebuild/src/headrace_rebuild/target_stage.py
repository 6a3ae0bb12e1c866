"""The stage that fills a new store from the source topics, with the vectors of the model where it needs them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from headrace_schemas.changes import Change
from headrace_schemas.embedded import EMBEDDED, Embedded
from headrace_schemas.forget_record import Forget
from headrace_schemas.links import ProductLinks
from headrace_worker.stage import Applied, Forgets, Outcome, Stage
from headrace_worker.worker import Worker, load_worker

EMBED = "embed"


def takes_vectors(worker: Worker, settings: Any) -> bool:
    """Whether the worker reads changes with vectors."""
    return any(issubclass(model, Embedded) for model in worker.inputs(settings).values())


def takes_links(worker: Worker, settings: Any) -> bool:
    """Whether the worker reads link sets."""
    return any(issubclass(model, ProductLinks) for model in worker.inputs(settings).values())


class EmbeddingStage:
    """Gives each source change to the stage of `embed`, and what that would publish to the stage of the store."""

    def __init__(self, embed: Stage[Any], sink: Stage[Any]) -> None:
        self._embed = embed
        self._sink = sink

    async def apply(self, changes: Sequence[Any]) -> Sequence[Outcome]:
        """Link sets go to the store as they are."""
        texts = [index for index, change in enumerate(changes) if isinstance(change, Change)]
        embedded = await self._embed.apply([changes[index] for index in texts]) if texts else []
        found: dict[int, Outcome] = dict(zip(texts, embedded, strict=True))
        written = {
            index: changes[index] if outcome is None else _record(changes[index], outcome)
            for index in range(len(changes))
            if (outcome := found.get(index)) is None or isinstance(outcome, Applied)
        }
        outcomes = await self._sink.apply(list(written.values())) if written else []
        found |= dict(zip(written, outcomes, strict=True))
        return [found[index] for index in range(len(changes))]

    async def forget(self, record: Forget) -> Outcome:
        """As the store's own stage does it."""
        assert isinstance(self._sink, Forgets)
        return await self._sink.forget(record)

    async def check(self) -> None:
        """Raises Unavailable unless the model and the store answer."""
        await self._embed.check()
        await self._sink.check()


@asynccontextmanager
async def open_target(worker: Worker, settings: Any) -> AsyncIterator[Stage[Any]]:
    """The stage of the worker, with the stage of `embed` before it if it takes vectors."""
    async with AsyncExitStack() as stack:
        assert worker.stage is not None
        sink = await stack.enter_async_context(worker.stage(settings))
        if not takes_vectors(worker, settings):
            yield sink
            return
        embed = load_worker(EMBED)
        assert embed.stage is not None
        yield EmbeddingStage(await stack.enter_async_context(embed.stage(embed.settings())), sink)


def _record(change: Change, outcome: Applied) -> Any:
    """What `embed` publishes for the change."""
    (output,) = outcome.outputs
    return EMBEDDED[change.kind].model_validate_json(output.value)
