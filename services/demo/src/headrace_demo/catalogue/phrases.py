"""Search phrases: the name of a product type with some of its facets. All phrases are numbered."""

from bisect import bisect_right
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, combinations
from math import prod

from headrace_demo.catalogue.vocabulary import LOCALES, vocabulary

_TERMS = 2


@dataclass(frozen=True, slots=True)
class Phrase:
    """`term`: the index of the type's name. `chosen`: (facet, value) indexes in the type's order of facets."""

    language: int
    type_number: int
    term: int
    chosen: tuple[tuple[int, int], ...]

    def text(self) -> str:
        """The text, as a person types it."""
        named = vocabulary().types[self.type_number]
        text = named.terms[self.term][self.language]
        for facet_number, value in self.chosen:
            facet = named.facets[facet_number]
            text = facet.search[self.language].format(what=text, value=facet.values[value][self.language])
        return text


class Tier:
    """All phrases that name the same number of facets, numbered from 0 to `size` - 1.

    The numbers go block by block. A block is a type and the facets that are named; in a block the number is a mixed
    radix number of language, term and values. So both directions are computed, and no phrase is kept in memory.
    """

    def __init__(self, facets: int) -> None:
        self._blocks = [
            (type_number, subset)
            for type_number, named in enumerate(vocabulary().types)
            for subset in combinations(range(len(named.facets)), facets)
        ]
        self._block_numbers = {block: number for number, block in enumerate(self._blocks)}
        sizes = (len(LOCALES) * _TERMS * prod(_radixes(*block)) for block in self._blocks)
        self._starts = [0, *accumulate(sizes)]
        self.size = self._starts[-1]

    def phrase(self, index: int) -> Phrase:
        """The phrase with the number `index`."""
        block = bisect_right(self._starts, index) - 1
        type_number, subset = self._blocks[block]
        rest, values = index - self._starts[block], []
        for radix in _radixes(type_number, subset):
            rest, value = divmod(rest, radix)
            values.append(value)
        language, term = divmod(rest, _TERMS)
        return Phrase(language, type_number, term, tuple(zip(subset, values, strict=True)))

    def index(self, phrase: Phrase) -> int:
        """The number of `phrase`; the inverse of `phrase`."""
        subset = tuple(facet for facet, _ in phrase.chosen)
        index = phrase.language * _TERMS + phrase.term
        for radix, (_, value) in zip(
            reversed(_radixes(phrase.type_number, subset)), reversed(phrase.chosen), strict=True
        ):
            index = index * radix + value
        return self._starts[self._block_numbers[phrase.type_number, subset]] + index


@cache
def tiers() -> tuple[Tier, ...]:
    """One tier for each number of facets, from 0 to the largest."""
    most = max(len(named.facets) for named in vocabulary().types)
    return tuple(Tier(facets) for facets in range(most + 1))


def _radixes(type_number: int, subset: tuple[int, ...]) -> list[int]:
    facets = vocabulary().types[type_number].facets
    return [len(facets[facet].values) for facet in subset]
