"""The read side of a store, for `stores apply`, `search`, `links` and a comparison with the source."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Protocol, runtime_checkable

from headrace_schemas.fields import Kind
from headrace_schemas.links import ProductLinks


@dataclass(frozen=True, slots=True)
class Stored:
    """One entity as a store has it. A tombstone has no fields.

    `fields`: the record's own names and values (product_id, title, …) without those that are null. `digest`: of the
    change that wrote it (`headrace_schemas.digest`); None if an older release wrote it.
    """

    id: str
    version: int
    deleted: bool
    fields: dict[str, Any] = field(default_factory=dict)
    content_hash: str | None = None
    model: str | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Filters:
    """What every result has; None allows anything. Texts are compared whole, and with their case. A product without a
    price is in no range of prices. Keywords have a locale only.
    """

    locale: str | None = None
    brand: str | None = None
    category: str | None = None
    min_price: float | None = None
    max_price: float | None = None

    @property
    def texts(self) -> dict[str, str]:
        """The fields with an exact text."""
        named = {"locale": self.locale, "brand": self.brand, "category": self.category}
        return {name: text for name, text in named.items() if text is not None}

    @property
    def has_prices(self) -> bool:
        """Whether only products with a price in a range are wanted."""
        return self.min_price is not None or self.max_price is not None

    def accept(self, fields: Mapping[str, Any]) -> bool:
        """Whether an entity with these fields is wanted, for a store that cannot filter by itself."""
        if any(fields.get(name) != text for name, text in self.texts.items()):
            return False
        price = fields.get("price")
        lowest = -inf if self.min_price is None else self.min_price
        highest = inf if self.max_price is None else self.max_price
        return not self.has_prices or (price is not None and lowest <= price <= highest)


ANYTHING = Filters()


@dataclass(frozen=True, slots=True)
class Query:
    """`vector`: (d,) floats, L2-normalised, of the same model as the index. A lexical store uses only `text`."""

    text: str
    kind: Kind = "product"
    limit: int = 10
    vector: Sequence[float] | None = None
    filters: Filters = ANYTHING


@dataclass(frozen=True, slots=True)
class Hit:
    """One result of a search. `score`: cosine for a vector store, the engine's own score for a lexical store."""

    id: str
    score: float
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class LinkedProduct:
    """A product that a keyword is linked to, with the keyword's rank and score (cosine) among the product's links."""

    product_id: str
    title: str
    rank: int
    score: float


class InUse(Exception):
    """Objects of a model cannot be removed: a public name leads to them."""


@runtime_checkable
class ServesModel(Protocol):
    """A store with objects of each model, and one public name for those of the model that readers are to find."""

    async def serve(self) -> list[str]:
        """Moves the public names to the model of the settings; one line for each that moved. Raises Unavailable."""
        ...

    async def other_model(self) -> str | None:
        """The model that the public names lead to, if nothing of the settings' model is there. Raises Unavailable."""
        ...

    async def check_unused(self) -> None:
        """Raises InUse if a public name leads to an object of the settings' model. Raises Unavailable."""
        ...

    async def drop_model(self) -> list[str]:
        """Removes the objects of the settings' model; one line for each. Raises Unavailable, and InUse, before it
        removes anything, as `check_unused` does.
        """
        ...


class Tables(Protocol):
    """Tables, indices or collections of a worker, as `stores apply` uses them. Every method raises Unavailable."""

    async def prepare(self) -> list[str]:
        """Creates or migrates the worker's tables, indices or collections; safe to repeat. One line for each change."""
        ...

    async def refresh(self) -> None:
        """Makes every acknowledged write visible to readers."""
        ...

    async def close(self) -> None:
        """Closes the connections."""
        ...


class Store(Protocol):
    """One store as the command line uses it. Every method raises Unavailable if the store does not answer."""

    async def prepare(self) -> list[str]:
        """Creates or migrates the worker's tables, indices or collections; safe to repeat. One line for each change."""
        ...

    async def refresh(self) -> None:
        """Makes every acknowledged write visible to a search."""
        ...

    def scan(self, kind: Kind) -> AsyncIterator[Stored]:
        """All stored entities of a kind, tombstones included, in no order."""
        ...

    async def get(self, kind: Kind, ids: Sequence[str]) -> dict[str, Stored]:
        """The stored entities of these ids, tombstones included; an unknown id is missing from the result."""
        ...

    async def search(self, query: Query) -> list[Hit]:
        """The best live entities for the query."""
        ...

    async def close(self) -> None:
        """Closes the connections."""
        ...


@runtime_checkable
class Observable(Store, Protocol):
    """A store that says what its search finds without a text, and how much there is to find."""

    async def searchable(self, kind: Kind, ids: Sequence[str]) -> dict[str, int]:
        """The version of each of these entities that a search finds now; one that it does not find is missing."""
        ...

    async def live_count(self, kind: Kind) -> int:
        """The number of entities that are not deleted."""
        ...


class LinkStore(Protocol):
    """The link sets of one store. Every method raises Unavailable if the store does not answer."""

    async def prepare(self) -> list[str]:
        """Creates or migrates the worker's tables, indices or collections; safe to repeat. One line for each change."""
        ...

    async def refresh(self) -> None:
        """Makes every acknowledged write visible to `products_of` and `scan_links`."""
        ...

    async def links_of(self, product_ids: Sequence[str]) -> dict[str, ProductLinks]:
        """The stored link sets of these products, tombstones included; an unknown id is missing from the result."""
        ...

    async def products_of(self, keyword_id: str, limit: int) -> list[LinkedProduct]:
        """The `limit` best products linked to a keyword, by the score of the link, highest first, then by id."""
        ...

    def scan_links(self) -> AsyncIterator[ProductLinks]:
        """Every link set, tombstones included, in no order."""
        ...

    async def close(self) -> None:
        """Closes the connections."""
        ...


@runtime_checkable
class CountsProducts(LinkStore, Protocol):
    """A store of link sets that counts the products of a keyword without reading them."""

    async def product_count(self, keyword_id: str) -> int:
        """The number of products linked to a keyword."""
        ...


@runtime_checkable
class FindsCanary(Store, Protocol):
    """A store of products and keywords that hides the canary (`headrace_schemas.canary`) from all other methods.

    `get` and `scan` belong to them: `get` returns the canary as a tombstone, and `scan` leaves it out.
    """

    async def canary_version(self, kind: Kind) -> int | None:
        """The version of the canary that a search finds; None if it finds none. Raises Unavailable."""
        ...


@runtime_checkable
class FindsLinkedCanary(LinkStore, Protocol):
    """A store of link sets that hides the canary product's set: for `links_of` it is that of a deleted product."""

    async def linked_canary_version(self) -> int | None:
        """The version of the canary keyword in the set of the canary product; None without a link. Raises
        Unavailable.
        """
        ...
