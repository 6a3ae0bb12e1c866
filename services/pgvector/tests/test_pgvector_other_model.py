"""Whether the tables of another model are there is known of an empty database, too."""

import asyncpg
import pytest
from harness.servers import Servers
from pydantic import SecretStr

from headrace_pgvector.settings import PgvectorSettings
from headrace_pgvector.store import PgvectorStore

pytestmark = pytest.mark.servers


async def test_an_empty_database_has_the_tables_of_no_model(servers: Servers) -> None:
    settings = servers.settings(PgvectorSettings, "postgres")
    dsn = settings.postgres.dsn.get_secret_value()
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE DATABASE without_models")
    await connection.close()
    head, _, tail = dsn.rpartition("/")
    _, mark, options = tail.partition("?")
    settings.postgres.dsn = SecretStr(f"{head}/without_models{mark}{options}")
    ours = PgvectorStore(settings)
    other = PgvectorStore(settings.model_copy(update={"model": "multilingual-e5-small"}))
    try:
        assert (await ours.other_model(), await other.other_model()) == (None, None)
        await ours.prepare()
        assert (await ours.other_model(), await other.other_model()) == (None, settings.model)
    finally:
        await ours.close()
        await other.close()
