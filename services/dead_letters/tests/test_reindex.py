"""The index can be built again from the topics; building it again changes nothing."""

from datetime import UTC, datetime
from typing import Any

import asyncpg
from harness.kafka_record import kafka_record
from harness.letters import letter_of, send, set_aside
from harness.live_workers import running
from harness.records import eventually, product

from headrace_cli.dead.reindex import Reindexed, reindex
from headrace_dead_letters.app import worker
from headrace_dead_letters.settings import DeadLettersSettings
from headrace_letters.actions import Action
from headrace_letters.index import LetterIndex
from headrace_letters.index_settings import IndexSettings
from headrace_letters.selection import EVERYTHING, Selection
from headrace_runtime.receipts import receipt_records

SHOWN = """
    SELECT dead_id, origin, worker, reason, fingerprint, error, attempts, first_failed_at, failed_at, key, dead_topic,
        dead_partition, dead_offset, failures, status, status_attempt, replayed_attempt, replayed_at, superseded_by
    FROM headrace.dead_letters ORDER BY dead_id
"""


async def test_reindexing_makes_the_same_table_again(
    settings: DeadLettersSettings, index: LetterIndex, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await fill(settings, index)
    before = await sql.fetch(SHOWN)
    progress: list[tuple[int, int]] = []
    own = IndexSettings(**{name: getattr(settings, name) for name in IndexSettings.model_fields})
    expected = Reindexed(letters=42, receipts=1, decisions=5)
    assert await reindex(own, index, lambda read, of: progress.append((read, of))) == expected
    assert await sql.fetch(SHOWN) == before
    assert progress[-1] == (43, 43)

    await sql.execute("TRUNCATE headrace.dead_letters")
    assert await index.count(EVERYTHING) == {}
    assert await reindex(own, index, lambda read, of: None) == expected
    assert await sql.fetch(SHOWN) == before
    assert await index.count(EVERYTHING) == {"waiting": 35, "resolved": 1, "replaying": 1, "parked": 2, "discarded": 1}


async def fill(settings: DeadLettersSettings, index: LetterIndex) -> None:
    """Forty letters, one of which failed twice and one of which was published twice, a receipt, and decisions."""
    records = [kafka_record(product(f"p{n:02}", 1), offset=n) for n in range(40)]
    letters = [letter_of(settings, "qdrant", record) for record in records]
    replay = settings.topics.replay("qdrant")
    again = kafka_record(letters[0].value, letters[0].key, topic=replay, headers=letters[0].headers)
    await send(settings, [*letters, letters[1], letter_of(settings, "qdrant", again)])
    async with running(worker, settings):

        async def indexed() -> bool:
            found = await index.page(Selection(key=b"p00"))
            whole = sum((await index.count(EVERYTHING)).values()) == 40
            return whole and [one.letter.attempts for one in found.letters] == [2]

        await eventually(indexed)
        letter = {one.letter.key: one.letter for one in (await index.page(EVERYTHING)).letters}
        await send(settings, list(receipts(settings, letter[b"p02"].id)))

        async def answered() -> bool:
            return (await index.count(EVERYTHING)).get("resolved") == 1

        await eventually(answered)
    action = await index.begin(Action("on-call", "replay", EVERYTHING))
    await index.mark_replaying(action, [letter[b"p02"], letter[b"p03"]])
    assert await set_aside(index, Action("on-call", "park", Selection(ids=(letter[b"p04"].id, letter[b"p05"].id)))) == 2
    assert await set_aside(index, Action("ben", "discard", Selection(key=b"p06"), "a test product")) == 1


def receipts(settings: DeadLettersSettings, dead_id: str) -> Any:
    answer = {"topic": "replay.qdrant", "partition": 0, "offset": 0, "outcome": "applied", "kind": "product"}
    answers = [answer | {"replay_of": dead_id, "attempt": 1}]
    return receipt_records("qdrant", settings.topics.receipts, answers, datetime.now(UTC), max_bytes=10**6)
