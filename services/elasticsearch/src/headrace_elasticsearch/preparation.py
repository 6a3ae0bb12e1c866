"""Creates an index with its alias, or adds to an existing index what this version of the worker needs."""

from collections.abc import Mapping
from typing import Any

from elasticsearch import ApiError, AsyncElasticsearch

from headrace_elasticsearch.analyzers import with_known_analyzers
from headrace_elasticsearch.errors import STORE, error_type
from headrace_elasticsearch.indices import Index
from headrace_worker.stage import Unavailable
from headrace_worker.store import InUse
from headrace_worker.store_names import model_in

# One replica if there is a second node. With one node there is none, so that the index is green.
SETTINGS = {"index.auto_expand_replicas": "0-1"}


async def prepare(client: AsyncElasticsearch, index: Index) -> list[str]:
    """Creates what is missing; one line for each thing. It can be repeated, and two can run at once.

    Raises Unavailable, with what to do, if an existing index cannot be changed as needed.
    """
    physical = await write_index(client, index.alias) or await _index_without_model(client, index)
    if physical is None:
        if created := await _create(client, index):
            return created
        physical = index.physical
    done = [await _repair_alias(client, index.alias, index, physical)]
    done += [*await _add_fields(client, index, physical), await _restore_refresh(client, physical)]
    return [line for line in done if line] + await _publish(client, index, physical)


async def serve(client: AsyncElasticsearch, index: Index) -> list[str]:
    """Moves the public alias to this index, in one step; one line if it moved. Raises Unavailable without an index."""
    if index.public is None:
        return []
    physical = await existing_index(client, index)
    before = await write_index(client, index.public)
    if physical == before:
        return []
    remove = [{"remove": {"index": before, "alias": index.public}}] if before else []
    add = {"index": physical, "alias": index.public, **index.alias_settings}
    await client.indices.update_aliases(actions=[*remove, {"add": add}])
    return [f"alias {index.public} on {physical}"]


async def other_model(client: AsyncElasticsearch, index: Index) -> str | None:
    """The model of the index behind the public alias, if this model has none. The index of an earlier release has no
    model.
    """
    physical = await write_index(client, index.public) if index.public else None
    if physical is None or await write_index(client, index.alias) is not None:
        return None
    aliases = (await client.indices.get_alias(index=physical)).body[physical]["aliases"]
    return next((model_in(name) for name in aliases if name.startswith(f"{index.public}__")), None)


async def check_unused(client: AsyncElasticsearch, index: Index) -> None:
    """Raises InUse if readers are led to the index of this model."""
    physical = await write_index(client, index.alias)
    if physical is not None and index.public and await write_index(client, index.public) == physical:
        raise InUse(f"the alias {index.public} leads to {physical}")


async def drop_model(client: AsyncElasticsearch, index: Index) -> list[str]:
    """Removes the index of one model. Raises InUse."""
    await check_unused(client, index)
    physical = await write_index(client, index.alias)
    if physical is None:
        return []
    await client.indices.delete(index=physical)
    return [f"index {physical} removed"]


async def write_index(client: AsyncElasticsearch, alias: str) -> str | None:
    """The physical index behind an alias, to which writes go; None if there is no such alias."""
    if not await client.indices.exists_alias(name=alias):
        return None
    behind = (await client.indices.get_alias(name=alias)).body
    marked: list[str] = [name for name, found in behind.items() if found["aliases"][alias].get("is_write_index")]
    candidates = marked or list(behind)
    if len(candidates) != 1:
        raise Unavailable(STORE, f"the alias {alias} has {len(behind)} indices and none is marked as its write index")
    return candidates[0]


async def existing_index(client: AsyncElasticsearch, index: Index) -> str:
    """The physical index to which writes go. Raises Unavailable if there is no alias."""
    physical = await write_index(client, index.alias)
    if physical is None:
        raise Unavailable(STORE, f"there is no alias {index.alias}: create it with `headrace stores apply`")
    return physical


async def _create(client: AsyncElasticsearch, index: Index) -> list[str]:
    """Nothing if it exists. One request creates index and alias, so that no writer finds only one of them."""
    index, lines = await with_known_analyzers(client, index)
    aliases = {index.alias: index.alias_settings}
    if index.public and await write_index(client, index.public) is None:
        aliases[index.public] = index.alias_settings
    try:
        await client.indices.create(index=index.physical, aliases=aliases, mappings=index.mapping, settings=SETTINGS)
    except ApiError as error:
        if error_type(error) == "resource_already_exists_exception":
            return []
        if error_type(error) == "invalid_alias_name_exception":
            detail = (
                f"an index has the name of the alias {index.alias}: remove it, then run `headrace stores apply` again"
            )
            raise Unavailable(STORE, detail) from None
        raise
    return [f"index {index.physical} with alias {index.alias}", *lines]


async def _index_without_model(client: AsyncElasticsearch, index: Index) -> str | None:
    """The index of link sets of an earlier release, which has only the public alias; None if a model has taken it."""
    physical = await write_index(client, index.public) if index.public else None
    if physical is None:
        return None
    aliases = (await client.indices.get_alias(index=physical)).body[physical]["aliases"]
    return None if any(name.startswith(f"{index.public}__") for name in aliases) else physical


async def _publish(client: AsyncElasticsearch, index: Index, physical: str) -> list[str]:
    """Creates or repairs the public alias, unless it leads to the index of another model."""
    if index.public is None or await write_index(client, index.public) not in (None, physical):
        return []
    line = await _repair_alias(client, index.public, index, physical)
    return [line] if line else []


async def _repair_alias(client: AsyncElasticsearch, alias: str, index: Index, physical: str) -> str | None:
    behind = (await client.indices.get_alias(index=physical)).body
    if behind[physical]["aliases"].get(alias) == index.alias_settings:
        return None
    add = {"index": physical, "alias": alias, **index.alias_settings}
    await client.indices.update_aliases(actions=[{"add": add}])
    return f"alias {alias} on {physical}"


async def _add_fields(client: AsyncElasticsearch, index: Index, physical: str) -> list[str]:
    mapping = (await client.indices.get_mapping(index=physical)).body[physical]["mappings"]
    present = mapping.get("properties", {})
    wanted = index.mapping["properties"]
    if different := [name for name in wanted if name in present and _type(present[name]) != _type(wanted[name])]:
        detail = f"{physical} maps {', '.join(different)} to another type: build a new index under another name"
        raise Unavailable(STORE, detail)
    if not missing_fields(present, wanted):
        return []
    index, lines = await with_known_analyzers(client, index)
    missing = missing_fields(present, index.mapping["properties"])
    await client.indices.put_mapping(index=physical, properties=missing)
    return [f"fields of {physical}: {', '.join(missing)}", *lines]


def missing_fields(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The fields to add to a mapping: those that it lacks, and those that lack a subfield, otherwise unchanged."""
    missing = {}
    for name, field in wanted.items():
        if name not in present:
            missing[name] = field
        elif not field.get("fields", {}).keys() <= present[name].get("fields", {}).keys():
            missing[name] = present[name] | {"fields": field["fields"]}
    return missing


async def _restore_refresh(client: AsyncElasticsearch, physical: str) -> str | None:
    """Turns the refresh on again if a bulk load left it off: without it no search finds what is written."""
    settings = (await client.indices.get_settings(index=physical, flat_settings=True)).body[physical]["settings"]
    if settings.get("index.refresh_interval") not in {"-1", "-1ms", "-1s"}:
        return None
    await client.indices.put_settings(index=physical, settings={"index.refresh_interval": None})
    return f"refresh of {physical}"


def _type(field: Mapping[str, Any]) -> str:
    return str(field.get("type", "object"))
