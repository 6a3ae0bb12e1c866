"""The indexes of dead letters of two namespaces in one database."""

import asyncpg
from harness.letters import letter, set_aside

from headrace_letters.actions import Action
from headrace_letters.index import LetterIndex
from headrace_letters.index_settings import IndexSettings
from headrace_letters.selection import EVERYTHING


async def test_the_dead_letters_of_two_namespaces_never_meet(
    index: LetterIndex, index_settings: IndexSettings, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    settings = index_settings.model_copy(update={"namespace": "shop_2"})
    other = LetterIndex(settings.postgres, settings.names.schema)
    await other.prepare()
    await index.put_letters([letter("p1"), letter("p2")])
    await other.put_letters([letter("p1")])
    assert await set_aside(other, Action("me", "discard", EVERYTHING)) == 1
    assert [group.counts for group in await index.groups()] == [{"waiting": 2}]
    assert [group.counts for group in await other.groups()] == [{"discarded": 1}]
    assert (len(await index.audit()), len(await other.audit())) == (0, 1)
    # The triggers that keep the tallies name their schema: they work for any search path.
    await sql.execute("DELETE FROM headrace_shop_2.dead_letters")
    assert await other.groups() == []
    assert [group.total for group in await index.groups()] == [2]
    await other.close()
