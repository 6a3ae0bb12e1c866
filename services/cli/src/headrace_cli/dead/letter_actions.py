"""Clears dead letters: replays them, sets them aside, gives them up."""

from collections.abc import Callable
from contextlib import aclosing

from headrace_cli.dead.reindex import Reindexed, reindex
from headrace_cli.dead.tools import opened_index
from headrace_letters.actions import Action
from headrace_letters.index_settings import IndexSettings
from headrace_letters.installed_stores import open_installed_stores
from headrace_letters.letter_reader import open_letter_reader
from headrace_letters.replay import Progress, ReplayOptions, replay
from headrace_letters.selection import Selection


async def replay_all(
    settings: IndexSettings,
    selection: Selection,
    options: ReplayOptions,
    look: Callable[[Progress], None],
    *,
    actor: str,
    reason: str,
) -> Progress:
    """Replays the selection; `look` is shown how far it is. Raises Unavailable."""
    async with (
        opened_index(settings) as index,
        open_letter_reader(settings.kafka) as reader,
        open_installed_stores() as stores,
    ):
        running = replay(index, reader, stores, settings, selection, options, actor=actor, reason=reason)
        async with aclosing(running):
            async for progress in running:
                look(progress)
    return progress


async def park(settings: IndexSettings, action: Action) -> int:
    """How many letters were set aside."""
    async with opened_index(settings) as index:
        return await index.park(action)


async def discard(settings: IndexSettings, action: Action) -> int:
    """How many letters were given up."""
    async with opened_index(settings) as index:
        return await index.discard(action)


async def make_again(settings: IndexSettings, look: Callable[[int, int], None]) -> Reindexed:
    """Makes the index again from the topics; `look` is told how many records have been read, and of how many."""
    async with opened_index(settings) as index:
        await index.prepare()
        return await reindex(settings, index, look)
