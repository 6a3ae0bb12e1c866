"""Copies of the worker, replays and operators can change the same letters at once without a deadlock."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from random import Random

import asyncpg
from harness.letters import letter, set_aside

from headrace_letters.actions import Action
from headrace_letters.index import LetterIndex
from headrace_letters.replay_answers import ReplayAnswer
from headrace_letters.selection import EVERYTHING
from headrace_runtime.decoder import Position

IDS = [f"p{number:03}" for number in range(300)]
TURNS = 12


async def test_writers_of_the_same_letters_do_not_block_each_other(
    index: LetterIndex, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await index.put_letters([letter(id) for id in IDS])
    action = await index.begin(Action("on-call", "replay", EVERYTHING))

    async def copy_of_the_worker(seed: int) -> None:
        random = Random(seed)
        for turn in range(TURNS):
            some = [letter(id, attempts=random.randint(1, 4)) for id in random.sample(IDS, 150)]
            doubled = [replace(one, failed_at=one.failed_at + timedelta(seconds=turn)) for one in some[:20]]
            moved = [replace(one, at=Position("dead.qdrant", 1, turn)) for one in doubled]
            await index.put_letters(some + doubled + moved)
            await index.put_answers(
                [ReplayAnswer(id, random.randint(1, 4), "applied") for id in random.sample(IDS, 50)]
            )

    async def replay(seed: int) -> None:
        random = Random(seed)
        for _ in range(TURNS):
            await index.mark_replaying(action, [letter(id) for id in random.sample(IDS, 100)])

    async def operator() -> None:
        for _ in range(TURNS):
            await set_aside(index, Action("ben", "park", EVERYTHING))
            await index.decide_again()

    async with asyncio.timeout(60):
        await asyncio.gather(*map(copy_of_the_worker, range(3)), *map(replay, range(2)), operator())
    counted = await sql.fetch("SELECT status, count(*) FROM headrace.dead_letters GROUP BY status ORDER BY status")
    tallied = await sql.fetch("""
        SELECT status, sum(letters)::bigint AS count FROM headrace.dead_tallies
        GROUP BY status HAVING sum(letters) <> 0 ORDER BY status
    """)  # fmt: skip
    assert sum(row["count"] for row in counted) == len(IDS)
    assert tallied == counted
