"""The steps of previews, replays and decisions.

A preview and a replay have their own reader, because a reader serves one caller at a time.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import NamedTuple

from headrace_console.backend import Backend
from headrace_letters.actions import Action
from headrace_letters.letter_reader import open_letter_reader
from headrace_letters.preview import Preview, preview
from headrace_letters.replay import replay
from headrace_letters.replay_progress import Progress, ReplayOptions
from headrace_letters.selection import Selection


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


class Decided(NamedTuple):
    """How many of `total` letters a decision has changed."""

    done: int
    total: int


async def decision_steps(backend: Backend, action: Action, total: int) -> AsyncGenerator[Decided, None]:
    """Parks or discards the selection; yields after each part. Closing it keeps the parts that are done."""
    yield Decided(0, total)
    async with aclosing(backend.index.set_aside(action)) as parts:
        async for done in parts:
            yield Decided(done, max(done, total))
