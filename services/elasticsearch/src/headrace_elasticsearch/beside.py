"""A second set of indices, which `headrace rebuild` fills beside the set in use."""

from collections.abc import Sequence
from typing import Any

from elasticsearch import AsyncElasticsearch

from headrace_elasticsearch.client import connect
from headrace_elasticsearch.indices import Indices, indices
from headrace_elasticsearch.preparation import existing_index, prepare, write_index
from headrace_elasticsearch.reading import answering
from headrace_elasticsearch.settings import ElasticsearchWorkerSettings
from headrace_worker.beside import State, generation_of, of_generation


def open_beside(settings: ElasticsearchWorkerSettings) -> "ElasticsearchBeside":
    """Both sets, with their client; the server may be down."""
    return ElasticsearchBeside(connect(settings.elasticsearch), settings)


class ElasticsearchBeside:
    """The aliases decide which set is in use, for searches and for writes."""

    def __init__(self, client: AsyncElasticsearch, settings: ElasticsearchWorkerSettings) -> None:
        self._client = client
        self._settings = settings

    async def state(self) -> State:
        async with answering():
            current = await self._current()
            if await self._existing(current + 1):
                return "building"
            return "switched" if await self._former(current) else "none"

    async def target(self) -> ElasticsearchWorkerSettings:
        async with answering():
            return self._of(await self._current() + 1)

    async def create(self) -> list[str]:
        async with answering():
            of_target = self._indices(await self._current() + 1)
            return [line for index in of_target.values() for line in await prepare(self._client, index)]

    async def switch(self) -> list[str]:
        """All aliases in one request. A public alias that leads to another model stays there."""
        async with answering():
            target = self._indices(await self._current() + 1)
            actions: list[dict[str, Any]] = []
            for kind, index in self._indices(1).items():
                former, new = await existing_index(self._client, index), target[kind].physical
                aliases = [index.alias]
                if index.public is not None and await write_index(self._client, index.public) in (None, former):
                    aliases.append(index.public)
                for alias in aliases:
                    actions.append({"remove": {"index": former, "alias": alias, "must_exist": False}})
                    actions.append({"add": {"index": new, "alias": alias, **index.alias_settings}})
            await self._client.indices.update_aliases(actions=actions)
        return [f"alias {one['add']['alias']} on {one['add']['index']}" for one in actions if "add" in one]

    async def drop_new(self) -> list[str]:
        async with answering():
            return await self._drop(await self._existing(await self._current() + 1))

    async def drop_old(self) -> list[str]:
        async with answering():
            return await self._drop(await self._former(await self._current()))

    async def close(self) -> None:
        await self._client.close()

    async def _drop(self, existing: Sequence[str]) -> list[str]:
        for physical in existing:
            await self._client.options(ignore_status=404).indices.delete(index=physical)
        return [f"index {physical} removed" for physical in existing]

    async def _former(self, current: int) -> list[str]:
        """The indices of earlier sets that are not in use. The link sets of a model that came after a rebuild are in an
        index of the first set until the next rebuild.
        """
        in_use = {await existing_index(self._client, index) for index in self._indices(1).values()}
        earlier = [name for number in range(1, current) for name in await self._existing(number)]
        return [name for name in earlier if name not in in_use]

    async def _existing(self, number: int) -> list[str]:
        """An early release named the index of link sets without a model: it belongs to the set unless a model uses it
        under an alias.
        """
        of_set = self._indices(number).values()
        names = [index.physical for index in of_set]
        existing = [name for name in names if await self._client.indices.exists(index=name)]
        for name in [f"{index.public}-v1" for index in of_set if index.public]:
            if await self._client.indices.exists(index=name):
                aliases = (await self._client.indices.get_alias(index=name)).body[name]["aliases"]
                existing += [] if aliases else [name]
        return existing

    async def _current(self) -> int:
        return generation_of(await existing_index(self._client, self._indices(1)["product"]))

    def _indices(self, number: int) -> Indices:
        return indices(self._of(number).names, self._settings.elasticsearch.analyzer)

    def _of(self, number: int) -> ElasticsearchWorkerSettings:
        found: ElasticsearchWorkerSettings = of_generation(self._settings, number)
        return found
