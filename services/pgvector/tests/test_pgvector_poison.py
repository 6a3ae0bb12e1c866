"""The server fails, or does not answer, for one change, on a real broker and a real server."""

import uuid

import pytest
from harness.live_workers import running
from harness.records import eventually, publish, read_all, receipts
from harness.servers import Servers
from harness.sinks import Sink

from headrace_cli.kafka_topics import apply_topics
from headrace_pgvector.app import worker
from headrace_pgvector.settings import PgvectorSettings
from headrace_pgvector.store import PgvectorStore
from headrace_schemas import headers

FAILS_ON_ONE = """
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN %s; END $$;
    CREATE TRIGGER fail BEFORE INSERT ON headrace.products
    FOR EACH ROW WHEN (NEW.product_id = 'worse') EXECUTE FUNCTION fail();
"""


@pytest.mark.parametrize(
    "failure", ["RAISE EXCEPTION 'broken' USING ERRCODE = 'XX000'", "PERFORM pg_sleep(3600)"], ids=["fails", "hangs"]
)
async def test_a_change_that_alone_makes_the_server_fail_does_not_block_the_others(
    servers: Servers, settings: PgvectorSettings, sink: Sink, store: PgvectorStore, sql: object, failure: str
) -> None:
    await sql.execute(FAILS_ON_ONE % failure)  # type: ignore[attr-defined]
    broker = servers.settings(PgvectorSettings, "kafka", TOPIC_PREFIX=f"t{uuid.uuid4().hex[:8]}.")
    settings = settings.model_copy(update={"kafka": broker.kafka, "topic_prefix": broker.topic_prefix})
    settings.batch.give_back_after, settings.batch.poison_tries = 4.0, 2
    await apply_topics(settings, ["pgvector"])
    # The last of a part, so that the transaction has the locks of the others when it hangs.
    ids = [*(f"p{number}" for number in range(40)), "worse"]
    rows = [sink.upsert("product", id, 1).model_dump(mode="json", exclude_none=True) for id in ids]
    await publish(settings, settings.topics.embedded("product", settings.model), rows)

    async def all_reported() -> bool:
        return len(await receipts(settings, "pgvector")) == len(ids)

    async with running(worker, settings):
        await eventually(all_reported, within=90)
    (letter,) = await read_all(settings, settings.topics.dead("pgvector"))
    assert (letter.key, dict(letter.headers)[headers.DEAD_REASON]) == (b"worse", b"poison")
    assert set(await store.get("product", ids)) == set(ids) - {"worse"}
