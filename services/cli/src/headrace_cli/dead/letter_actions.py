"""Replays, parks and discards dead letters."""

from collections.abc import Callable
from contextlib import aclosing

from headrace_letters.actions import Action
from headrace_letters.index import open_index
from headrace_letters.index_settings import IndexSettings
from headrace_letters.installed_stores import open_installed_stores
from headrace_letters.letter_reader import open_letter_reader
from headrace_letters.replay import replay
from headrace_letters.replay_progress import Progress, ReplayOptions
from headrace_letters.selection import Selection


async def replay_all(
    settings: IndexSettings,
    selection: Selection,
    options: ReplayOptions,
    on_progress: Callable[[Progress], None],
    *,
    actor: str,
    reason: str,
) -> Progress:
    """Replays the selection; returns the last progress. Raises Unavailable."""
    async with (
        open_index(settings) as index,
        open_letter_reader(settings.kafka) as reader,
        open_installed_stores() as stores,
    ):
        running = replay(index, reader, stores, settings, selection, options, actor=actor, reason=reason)
        async with aclosing(running):
            async for progress in running:
                on_progress(progress)
    return progress


async def park(settings: IndexSettings, action: Action) -> int:
    """Returns how many letters were parked."""
    async with open_index(settings) as index:
        return await index.park(action)


async def discard(settings: IndexSettings, action: Action) -> int:
    """Returns how many letters were discarded."""
    async with open_index(settings) as index:
        return await index.discard(action)
