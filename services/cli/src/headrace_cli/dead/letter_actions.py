"""Replays, parks and discards dead letters."""

from collections.abc import Callable
from contextlib import aclosing

from headrace_letters.actions import Action
from headrace_letters.bulk_decisions import Touched
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


async def touched(settings: IndexSettings, action: Action, on_progress: Callable[[int, int], None]) -> Touched:
    """What the action would change. `on_progress` gets the number of counted letters and the total."""
    async with open_index(settings) as index:
        total = sum((await index.count(action.selection)).values())
        async for found in index.touched(action.name, action.selection):
            on_progress(found.letters, max(total, found.letters))
    return found


async def set_aside(
    settings: IndexSettings, action: Action, touched: Touched, on_progress: Callable[[int], None]
) -> int:
    """Parks or discards the counted letters; returns how many changed. `on_progress` gets their number so far."""
    count = 0
    async with open_index(settings) as index, aclosing(index.set_aside(action, touched)) as deciding:
        async for count in deciding:
            on_progress(count)
    return count
