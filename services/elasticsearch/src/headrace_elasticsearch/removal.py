"""Removes a document so that older versions of it are taken afterwards."""

import asyncio

from elasticsearch import ApiError, AsyncElasticsearch

from headrace_elasticsearch.errors import CONFLICT, NOT_FOUND, STORE
from headrace_elasticsearch.indices import Index
from headrace_elasticsearch.preparation import existing_index
from headrace_schemas.forget_record import Forget
from headrace_worker.stage import Unavailable

REMEMBERED = "index.gc_deletes"
"""How long Elasticsearch refuses older versions of a document that was removed; by default a minute."""
CLOCK_MOVES_SECONDS = 0.2
FORGOTTEN_WITHIN = 5.0


async def forget(client: AsyncElasticsearch, index: Index, record: Forget) -> int | None:
    """Removes the document if it has exactly this version. Returns the version that stays; None if there is none.

    The version of a removed document is forgotten at once: no other document is ever removed, so that nobody else needs
    it. Raises Unavailable without the index, and what the client raises.
    """
    physical = await existing_index(client, index)
    found = (await client.options(ignore_status=NOT_FOUND).get(index=physical, id=record.id, source=False)).body
    version: int | None = found["_version"] if found.get("found") else None
    if version is not None and version != record.version:
        return version
    if version is not None:
        try:
            await client.delete(
                index=physical, id=record.id, if_seq_no=found["_seq_no"], if_primary_term=found["_primary_term"]
            )
        except ApiError as error:
            if error.status_code != CONFLICT:
                raise
            raise Unavailable(STORE, "another writer changed the document while it was removed") from None
    await _forget_removed(client, physical, record.id)
    return None


async def _forget_removed(client: AsyncElasticsearch, physical: str, id: str) -> None:
    """A refresh drops the versions of removed documents that are older than the setting, by a clock that moves every
    200 ms: it may have to be repeated.
    """
    await client.indices.put_settings(index=physical, settings={REMEMBERED: "0s"})
    try:
        async with asyncio.timeout(FORGOTTEN_WITHIN):
            await client.indices.refresh(index=physical)
            while await _is_remembered(client, physical, id):
                await asyncio.sleep(CLOCK_MOVES_SECONDS)
                await client.indices.refresh(index=physical)
    except TimeoutError:
        raise Unavailable(STORE, "the version of a removed document was not forgotten in time") from None
    finally:
        await client.indices.put_settings(index=physical, settings={REMEMBERED: None})


async def _is_remembered(client: AsyncElasticsearch, physical: str, id: str) -> bool:
    """Asks by a removal of version 0, which every version refuses, and which stands against none."""
    removal = client.options(ignore_status=(NOT_FOUND, CONFLICT)).delete
    answer = await removal(index=physical, id=id, version=0, version_type="external")
    return answer.meta.status == CONFLICT
