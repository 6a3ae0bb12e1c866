"""Creates an index with its alias, or brings an existing one up to the mapping of this version."""

from collections.abc import Mapping
from typing import Any

from elasticsearch import ApiError, AsyncElasticsearch

from headrace_elasticsearch.errors import STORE, error_type
from headrace_elasticsearch.indices import Index
from headrace_worker.stage import Unavailable

# A replica where there is a second node, and none, so green, where there is one.
SETTINGS = {"index.auto_expand_replicas": "0-1"}


async def prepare(client: AsyncElasticsearch, index: Index) -> list[str]:
    """Makes what is missing, one line for each thing made. Safe to repeat, and when two run at once.

    Raises Unavailable if what is there cannot become what is needed, with what to do.
    """
    physical = await write_index(client, index.alias)
    if physical is None:
        if await _create(client, index):
            return [f"index {index.physical} with alias {index.alias}"]
        physical = index.physical
    done = [await _repair_alias(client, index, physical)]
    done += [await _add_fields(client, index, physical), await _restore_refresh(client, physical)]
    return [line for line in done if line]


async def write_index(client: AsyncElasticsearch, alias: str) -> str | None:
    """The physical index that is written through an alias; None if there is no such alias."""
    if not await client.indices.exists_alias(name=alias):
        return None
    behind = (await client.indices.get_alias(name=alias)).body
    marked: list[str] = [name for name, found in behind.items() if found["aliases"][alias].get("is_write_index")]
    candidates = marked or list(behind)
    if len(candidates) != 1:
        raise Unavailable(STORE, f"the alias {alias} has {len(behind)} indices and none is marked as its write index")
    return candidates[0]


async def _create(client: AsyncElasticsearch, index: Index) -> bool:
    """Whether this call made it. Index and alias come in one step, so that no writer finds one without the other."""
    aliases = {index.alias: index.alias_settings}
    try:
        await client.indices.create(index=index.physical, aliases=aliases, mappings=index.mapping, settings=SETTINGS)
    except ApiError as error:
        if error_type(error) == "resource_already_exists_exception":
            return False
        if error_type(error) == "invalid_alias_name_exception":
            detail = f"an index named {index.alias} is where the alias should be: remove it, then apply again"
            raise Unavailable(STORE, detail) from None
        raise
    return True


async def _repair_alias(client: AsyncElasticsearch, index: Index, physical: str) -> str | None:
    behind = (await client.indices.get_alias(index=physical)).body
    if behind[physical]["aliases"].get(index.alias) == index.alias_settings:
        return None
    add = {"index": physical, "alias": index.alias, **index.alias_settings}
    await client.indices.update_aliases(actions=[{"add": add}])
    return f"alias {index.alias} on {physical}"


async def _add_fields(client: AsyncElasticsearch, index: Index, physical: str) -> str | None:
    mapping = (await client.indices.get_mapping(index=physical)).body[physical]["mappings"]
    held = mapping.get("properties", {})
    wanted = index.mapping["properties"]
    if different := [name for name in wanted if name in held and _type(held[name]) != _type(wanted[name])]:
        detail = f"{physical} maps {', '.join(different)} to another type: it has to be built anew under another name"
        raise Unavailable(STORE, detail)
    missing = missing_fields(held, wanted)
    if not missing:
        return None
    await client.indices.put_mapping(index=physical, properties=missing)
    return f"fields of {physical}: {', '.join(missing)}"


def missing_fields(held: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The fields to add to a mapping: those it lacks, and those that lack a subfield, as they are held."""
    missing = {}
    for name, field in wanted.items():
        if name not in held:
            missing[name] = field
        elif not field.get("fields", {}).keys() <= held[name].get("fields", {}).keys():
            missing[name] = held[name] | {"fields": field["fields"]}
    return missing


async def _restore_refresh(client: AsyncElasticsearch, physical: str) -> str | None:
    """Turns refreshing on again where a bulk load left it off, or nothing written would ever be found."""
    settings = (await client.indices.get_settings(index=physical, flat_settings=True)).body[physical]["settings"]
    if settings.get("index.refresh_interval") not in {"-1", "-1ms", "-1s"}:
        return None
    await client.indices.put_settings(index=physical, settings={"index.refresh_interval": None})
    return f"refreshing of {physical}"


def _type(field: Mapping[str, Any]) -> str:
    return str(field.get("type", "object"))
