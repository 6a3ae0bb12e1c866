"""What the commands work with: the index, the letters' bytes, and the stores."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from headrace_letters.index import LetterIndex
from headrace_letters.index_settings import IndexSettings


@asynccontextmanager
async def opened_index(settings: IndexSettings) -> AsyncIterator[LetterIndex]:
    """The index, closed on exit."""
    index = LetterIndex(settings.postgres, replaying_for=timedelta(seconds=settings.dead.replaying_for))
    try:
        yield index
    finally:
        await index.close()
