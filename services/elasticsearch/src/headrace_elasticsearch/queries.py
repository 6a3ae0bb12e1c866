"""The queries of searches."""

from collections.abc import Sequence
from typing import Any

from headrace_elasticsearch.indices import Index
from headrace_schemas.canary import CANARY_ID, CANARY_WORDS
from headrace_worker.store import Filters

EXACT = {"brand": "brand.keyword", "category": "category.keyword"}
"""The fields with the whole text of those that are searched by words."""


def matching(text: str, fields: Sequence[str]) -> dict[str, Any]:
    """Any word of the text in any field; the whole text as a phrase scores higher.

    The phrase helps in Japanese, where the standard analyzer cuts text into single characters. The prefix of its last
    word helps in Korean, which writes endings as part of the word.
    """
    words = {"query": text, "fields": list(fields)}
    return {
        "bool": {
            "should": [
                {"multi_match": words | {"type": "best_fields"}},
                {"multi_match": words | {"type": "phrase_prefix"}},
            ],
            "minimum_should_match": 1,
        }
    }


def allowed(query: dict[str, Any], filters: Filters) -> dict[str, Any]:
    """The query for documents that have what the filters want; the filters change no score."""
    of_texts = [{"term": {EXACT.get(name, name): text}} for name, text in filters.texts.items()]
    limits = {"gte": filters.min_price, "lte": filters.max_price}
    of_price = [{"range": {"price": {name: limit for name, limit in limits.items() if limit is not None}}}]
    clauses = [*of_texts, *(of_price if filters.has_prices else ())]
    return {"bool": {"must": query, "filter": clauses}} if clauses else query


def canary(index: Index) -> dict[str, Any]:
    """The canary by its words. A deleted one has no words."""
    return {"bool": {"must": matching(CANARY_WORDS, index.searched), "filter": _is_canary(index)}}


def canary_linked_to_canary(index: Index) -> dict[str, Any]:
    """The set of the canary product, if it has a link to the canary keyword."""
    return {"bool": {"filter": [linked_to(CANARY_ID), _is_canary(index)]}}


def linked_to(keyword_id: str) -> dict[str, Any]:
    """The products with a link to this keyword; the inner hit of each is that link."""
    inner = {"size": 1, "_source": ["keywords.rank", "keywords.score"]}
    query = has_link_to(keyword_id)
    return {"nested": query["nested"] | {"inner_hits": inner}}


def has_link_to(keyword_id: str) -> dict[str, Any]:
    """The products with a link to this keyword."""
    return {"nested": {"path": "keywords", "query": _is(keyword_id)}}


def by_score_of(keyword_id: str) -> list[dict[str, Any]]:
    """Sorts products by the score of their link to this keyword, highest first, then by id."""
    own = {"nested": {"path": "keywords", "filter": _is(keyword_id)}}
    return [{"keywords.score": {"order": "desc"} | own}, {"product_id": {"order": "asc"}}]


def _is_canary(index: Index) -> dict[str, Any]:
    return {"term": {index.id_field: CANARY_ID}}


def _is(keyword_id: str) -> dict[str, Any]:
    return {"term": {"keywords.keyword_id": keyword_id}}
