"""The steps of previews, replays, counts and decisions.

A preview and a replay have their own reader, because a reader serves one caller at a time.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Literal, NamedTuple

from headrace_console.backend import Backend
from headrace_letters.actions import Action
from headrace_letters.bulk_decisions import Touched
from headrace_letters.letter_reader import open_letter_reader
from headrace_letters.preview import Preview, preview
from headrace_letters.replay import replay
from headrace_letters.replay_progress import Progress, ReplayOptions
from headrace_letters.selection import Selection

Decision = Literal["park", "discard"]


async def preview_steps(backend: Backend, selection: Selection) -> AsyncGenerator[Preview, None]:
    """The preview of the selection; yields after each part."""
    async with (
        open_letter_reader(backend.settings.kafka) as reader,
        aclosing(preview(backend.index, reader, backend.stores, selection)) as steps,
    ):
        async for progress in steps:
            yield progress


async def replay_steps(
    backend: Backend, selection: Selection, options: ReplayOptions, actor: str, reason: str
) -> AsyncGenerator[Progress, None]:
    """The replay of the selection; yields after each change. Closing it stops the replay."""
    async with open_letter_reader(backend.settings.kafka) as reader:
        opened = replay(
            backend.index, reader, backend.stores, backend.settings, selection, options, actor=actor, reason=reason
        )
        async with aclosing(opened) as steps:
            async for progress in steps:
                yield progress


class Counted(NamedTuple):
    """The letters that a decision would change, as far as they are counted. `total`: letters of the selection."""

    name: Decision
    touched: Touched
    total: int


class Decided(NamedTuple):
    """How many of `total` letters a decision has changed."""

    done: int
    total: int


async def count_steps(backend: Backend, name: Decision, selection: Selection) -> AsyncGenerator[Counted, None]:
    """What parking or discarding the selection would change; yields after each part."""
    total = sum((await backend.index.count(selection)).values())
    async for touched in backend.index.touched(name, selection):
        yield Counted(name, touched, max(total, touched.letters))


async def decision_steps(backend: Backend, action: Action, touched: Touched) -> AsyncGenerator[Decided, None]:
    """Parks or discards the counted letters; yields after each part. Closing it keeps the parts that are done."""
    yield Decided(0, touched.letters)
    async with aclosing(backend.index.set_aside(action, touched)) as parts:
        async for done in parts:
            yield Decided(done, touched.letters)
