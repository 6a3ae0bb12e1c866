"""Groups, lists and previews of dead letters, from the index or directly from topics."""

from collections.abc import Callable, Sequence
from typing import Any

from headrace_cli.dead.letter_objects import group_object, topic_group_object
from headrace_cli.dead.topic_letters import groups_on, letters_on
from headrace_letters.actions import AuditRow
from headrace_letters.index import open_index
from headrace_letters.index_settings import IndexSettings
from headrace_letters.installed_stores import open_installed_stores
from headrace_letters.letter import Letter
from headrace_letters.letter_reader import open_letter_reader
from headrace_letters.letter_rows import IndexedLetter
from headrace_letters.preview import Preview, preview
from headrace_letters.selection import Selection

PAGE = 500
Found = list[tuple[Letter, IndexedLetter | None]]


async def groups(settings: IndexSettings, selection: Selection, topics: Sequence[str]) -> list[dict[str, Any]]:
    """The causes as JSON objects, the most frequent first."""
    if topics:
        return [topic_group_object(group) for group in await groups_on(settings, topics, selection)]
    async with open_index(settings) as index:
        return [group_object(group) for group in await index.groups(selection)]


async def letters(
    settings: IndexSettings, selection: Selection, topics: Sequence[str], limit: int
) -> tuple[Found, bool]:
    """The newest letters, and whether there are more."""
    if topics:
        on_topics = [letter async for letter, _ in letters_on(settings, topics, selection)]
        on_topics.sort(key=lambda letter: letter.failed_at, reverse=True)
        return [(letter, None) for letter in on_topics[:limit]], len(on_topics) > limit
    found: Found = []
    async with open_index(settings) as index:
        page = await index.page(selection, limit=min(limit, PAGE))
        while True:
            found += [(one.letter, one) for one in page.letters]
            if page.next is None or len(found) >= limit:
                return found[:limit], page.next is not None or len(found) > limit
            page = await index.page(selection, limit=min(limit - len(found), PAGE), after=page.next)


async def preview_all(
    settings: IndexSettings, selection: Selection, limit: int | None, on_progress: Callable[[Preview], None]
) -> Preview:
    """What a replay of the selection would do. Raises Unavailable."""
    async with (
        open_index(settings) as index,
        open_letter_reader(settings.kafka) as reader,
        open_installed_stores() as stores,
    ):
        async for found in preview(index, reader, stores, selection, limit=limit):
            on_progress(found)
    return found


async def audit(settings: IndexSettings, limit: int, before: int | None) -> list[AuditRow]:
    """The newest actions on dead letters, newest first; `before`: only actions with a lower number."""
    async with open_index(settings) as index:
        return await index.audit(limit=limit, before=before)
