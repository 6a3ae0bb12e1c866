"""Products from a seed. Product i depends only on the seed and i."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from headrace_demo.catalogue.draws import Draws
from headrace_demo.catalogue.vocabulary import LOCALES, ProductType, Triple, vocabulary

CURRENCIES = ("USD", "KRW", "JPY")
_PER_DOLLAR = (1.0, 1300.0, 150.0)
_SMALL_WORDS = {"for", "the", "by", "of", "and", "to", "g", "kg"}


def products(seed: int, count: int) -> Iterator[dict[str, Any]]:
    """The first `count` products before any change: the record's fields and version 1."""
    return (product(seed, number) for number in range(count))


def product_id(number: int) -> str:
    """For example `p-000123`. Every 500th id has a slash, a space, Korean and an emoji, as ids of shops may have."""
    return f"p-{number:06d}" if number % 500 != 499 else f"p-{number:06d}/한정판 🎁"


@dataclass(frozen=True, slots=True)
class Design:
    """The properties of a product that no change alters.

    `values`: for each facet of the type the index of this product's value. `price`: in the currency of the language.
    """

    language: int
    type_number: int
    values: tuple[int, ...]
    price: float

    @property
    def type(self) -> ProductType:
        """The product type, from the vocabulary."""
        return vocabulary().types[self.type_number]


def design(seed: int, number: int) -> Design:
    """Half of all products are in English, a quarter each in Korean and in Japanese."""
    draws = Draws(seed, "product", number)
    language = (0, 0, 1, 2)[draws.below(4)]
    type_number = draws.below(len(vocabulary().types))
    chosen = vocabulary().types[type_number]
    values = tuple(draws.below(len(facet.values)) for facet in chosen.facets)
    return Design(language, type_number, values, draws.between(*chosen.price) * _PER_DOLLAR[language])


def product(seed: int, number: int, *, version: int = 1, wording: int = 0, pricing: int = 0) -> dict[str, Any]:
    """Product `number` after `wording` changes of its texts and `pricing` changes of its price.

    Consecutive wordings have different titles and descriptions, consecutive pricings different prices. The design of
    the product, and so its labels, stay the same.
    """
    made = design(seed, number)
    language, (*facets, brand) = made.language, made.type.facets
    draws = Draws(seed, "texts", number)
    what = made.type.terms[0][language]
    for facet, value in zip(facets, made.values, strict=False):
        what = facet.title[language].format(what=what, value=facet.values[value][language])
    maker = brand.values[made.values[-1]][language]
    series = _pick(vocabulary().series, draws, wording)[language]
    opening = _pick(vocabulary().openings, draws, wording)[language].format(what=what, brand=maker, series=series)
    return {
        "product_id": product_id(number),
        "version": version,
        "title": _title(f"{maker} {series} {what}", language),
        "description": (" ", " ", "")[language].join([_sentence(opening), *_details(made, draws, wording)]),
        "brand": maker,
        "category": f"{made.type.department[language]} > {made.type.terms[0][language]}",
        "price": _price(made, pricing),
        "currency": CURRENCIES[language],
        "attributes": _attributes(made, draws),
        "locale": LOCALES[language],
    }


def _details(made: Design, draws: Draws, wording: int) -> list[str]:
    facet_number = draws.below(len(made.type.facets) - 1)
    facet = made.type.facets[facet_number]
    value = facet.values[made.values[facet_number]][made.language]
    note = _pick(made.type.notes, draws, wording)[made.language]
    sentences = [facet.sentence[made.language].format(value=value)] if facet.sentence else []
    return [*sentences, note][: (2, 2, 1, 0)[draws.below(4)]]


def _attributes(made: Design, draws: Draws) -> dict[str, Any]:
    facets = zip(made.type.facets[:-1], made.values, strict=False)
    return {
        **{facet.attribute: facet.values[value][made.language] for facet, value in facets},
        "article": f"{chr(65 + draws.below(26))}{chr(65 + draws.below(26))}-{1000 + draws.below(9000)}",
        "rating": (30 + draws.below(21)) / 10,
        "gift_wrap": draws.below(2) == 1,
    }


def _price(made: Design, pricing: int) -> float:
    """As in shops: 129.99 dollars, 45,900 won, 3,980 yen. A changed price differs from the first by a fifth at most."""
    step = pricing * 7 % 11
    amount = made.price * (1 + 0.04 * (step if step <= 5 else step - 11))
    if made.language == 0:
        return math.floor(amount) + 0.99 if pricing == 0 else round(amount, 2)
    return math.ceil(amount / 100) * 100 if pricing == 0 else round(amount)


def _pick(options: tuple[Triple, ...], draws: Draws, turn: int) -> Triple:
    return options[(draws.below(len(options)) + turn) % len(options)]


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _title(text: str, language: int) -> str:
    if language != 0:
        return text
    return " ".join(word if word in _SMALL_WORDS else _sentence(word) for word in text.split(" "))
