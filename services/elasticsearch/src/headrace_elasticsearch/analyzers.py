"""Which analyzers of languages the server has, and what an index gets where it lacks one."""

from dataclasses import replace
from typing import Any

from elasticsearch import AsyncElasticsearch, BadRequestError

from headrace_elasticsearch.indices import Index
from headrace_elasticsearch.languages import ANALYZERS, OTHERS


async def with_known_analyzers(client: AsyncElasticsearch, index: Index) -> tuple[Index, list[str]]:
    """The index with analyzers that the server has, and one line for each language that has another than its own."""
    properties, lines = dict(index.properties), []
    for language in index.languages:
        used = own = ANALYZERS[language]
        others = iter(OTHERS)
        while not await _has(client, used):
            used = next(others)
        if used != own:
            properties[language] = _with(properties[language], used)
            lines.append(f"{index.physical}: {used} for the texts in {language}, because the server has no {own}")
    return replace(index, properties=properties), lines


def _with(of_language: dict[str, Any], analyzer: str) -> dict[str, Any]:
    fields = of_language["properties"].items()
    return {"properties": {name: field | {"analyzer": analyzer} for name, field in fields}}


async def _has(client: AsyncElasticsearch, analyzer: str) -> bool:
    try:
        await client.indices.analyze(analyzer=analyzer, text="a")
    except BadRequestError:
        return False
    return True
