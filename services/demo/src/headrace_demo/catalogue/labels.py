"""Labels: the keywords that belong to a product. They have its language, and all their words describe it."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from headrace_demo.catalogue.keywords import keyword, keyword_id, number_of
from headrace_demo.catalogue.phrases import Phrase
from headrace_demo.catalogue.products import Design, design, product_id


def labels(seed: int, products: int, keywords: int) -> Iterator[tuple[str, set[str]]]:
    """For each of the first `products` products its id and the ids of its keywords among the first `keywords`.

    Computed from the designs and phrases, product by product, in constant memory. A set may be empty.
    """
    for number in range(products):
        numbers = (number_of(seed, phrase) for phrase in _phrases(design(seed, number)))
        yield product_id(number), {keyword_id(found) for found in numbers if found < keywords}


def queries(seed: int, keywords: int, answers: Mapping[str, list[str]]) -> Iterator[dict[str, Any]]:
    """The text of each of the first `keywords` keywords that has products, with their ids as the right answers.

    `answers`: the ids of the products of each keyword, by its id.
    """
    for number in range(keywords):
        if relevant := answers.get(keyword_id(number)):
            made = keyword(seed, number)
            yield {"query": made["text"], "relevant": relevant, "language": made["locale"]}


def _phrases(made: Design) -> Iterator[Phrase]:
    values = tuple(enumerate(made.values))
    for facets in range(len(values) + 1):
        for chosen in combinations(values, facets):
            for term in range(len(made.type.terms)):
                yield Phrase(made.language, made.type_number, term, chosen)
