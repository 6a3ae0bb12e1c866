"""Keywords from a seed. Keyword j depends only on the seed and j. Each phrase is exactly one keyword."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from headrace_demo.catalogue.draws import Draws, Shuffle
from headrace_demo.catalogue.phrases import Phrase, tiers
from headrace_demo.catalogue.vocabulary import LOCALES, vocabulary

_POPULARITY = ((5_000, 90_000), (400, 9_000), (30, 900), (5, 60), (1, 9))
"""Searches a month, lowest and highest, by the number of facets a phrase names."""


def keywords(seed: int, count: int) -> Iterator[dict[str, Any]]:
    """The first `count` keywords before any change: the record's fields and version 1.

    At first a quarter of the keywords names only a type, half of them a type and one facet, a quarter a type and two
    facets, until all types are used. The rest follow in the order of their number of facets. Raises ValueError if the
    vocabulary has fewer phrases.
    """
    if count > (most := sum(tier.size for tier in tiers())):
        raise ValueError(f"the vocabulary has {most} keywords, {count} were asked for")
    return (keyword(seed, number) for number in range(count))


def keyword_id(number: int) -> str:
    """For example `k-00045`."""
    return f"k-{number:05d}"


def keyword(seed: int, number: int, *, version: int = 1, wording: int = 0, pricing: int = 0) -> dict[str, Any]:
    """Keyword `number` after `wording` changes of its text and `pricing` changes of its popularity.

    A changed text has the same meaning, so the labels stay the same.
    """
    phrase = phrase_of(seed, number)
    rewordings = vocabulary().rewordings
    searches = Draws(seed, "popularity", number).between(*_POPULARITY[len(phrase.chosen)])
    return {
        "keyword_id": keyword_id(number),
        "version": version,
        "text": rewordings[wording % len(rewordings)][phrase.language].format(text=phrase.text()),
        "locale": LOCALES[phrase.language],
        "popularity": round(searches) + pricing % 11,
    }


def phrase_of(seed: int, number: int) -> Phrase:
    """The phrase of keyword `number`."""
    facets, turn = _place(number)
    return tiers()[facets].phrase(_shuffles(seed)[facets].there(turn))


def number_of(seed: int, phrase: Phrase) -> int:
    """The number of the keyword of `phrase`; the inverse of `phrase_of`."""
    facets = len(phrase.chosen)
    return _number(facets, _shuffles(seed)[facets].back(tiers()[facets].index(phrase)))


@cache
def _shuffles(seed: int) -> tuple[Shuffle, ...]:
    return tuple(Shuffle(tier.size, Draws(seed, "keywords", facets)) for facets, tier in enumerate(tiers()))


# Each round of the first keywords takes one phrase without facets, two with one facet and one with two.
_MIX = (0, 1, 1, 2)


def _place(number: int) -> tuple[int, int]:
    """The tier of a keyword, and its position in the tier."""
    rounds = tiers()[0].size
    if number < rounds * len(_MIX):
        turn, slot = divmod(number, len(_MIX))
        return ((0, turn), (1, 2 * turn), (1, 2 * turn + 1), (2, turn))[slot]
    rest = number - rounds * len(_MIX)
    for facets, tier in enumerate(tiers()):
        taken = rounds * _MIX.count(facets)
        if rest < tier.size - taken:
            return facets, taken + rest
        rest -= tier.size - taken
    raise ValueError(f"the vocabulary has no keyword {number}")


def _number(facets: int, turn: int) -> int:
    """The inverse of `_place`."""
    rounds = tiers()[0].size
    taken = rounds * _MIX.count(facets)
    if turn < taken:
        return (4 * turn, 4 * (turn // 2) + 1 + turn % 2, 4 * turn + 3)[facets]
    before = sum(tier.size - rounds * _MIX.count(number) for number, tier in enumerate(tiers()[:facets]))
    return rounds * len(_MIX) + before + turn - taken
