"""The names of the objects in the stores. Two installations with different namespaces share no object."""

import re
from dataclasses import dataclass

NAMESPACE = re.compile(r"[a-z][a-z0-9_]{0,20}")
RESERVED = ("__rebuild", "__old")
"""Ends of the schemas that `headrace rebuild` creates in PostgreSQL, and removes with all that is in them."""
_OF_MODEL = re.compile(r"(?:.*-)?[a-z]+(?:_[a-z]+)*__([a-z0-9][a-z0-9.-]*)")
"""The last hyphen before a name ends the namespace, which may contain two underscores itself. A model has none."""


@dataclass(frozen=True, slots=True)
class StoreNames:
    """The names of one installation and one model.

    `namespace`: as `checked_namespace` accepts it, or empty. In a name a hyphen follows it. A namespace cannot contain
    a hyphen, so no name of one namespace begins like the names of another.
    """

    namespace: str
    model: str

    @property
    def schema(self) -> str:
        """The schema in PostgreSQL, a valid identifier without quotes."""
        return f"headrace_{self.namespace}" if self.namespace else "headrace"

    @property
    def prefix(self) -> str:
        """The start of every name in Elasticsearch and Qdrant."""
        return f"{self.namespace}-" if self.namespace else ""

    def public(self, name: str) -> str:
        """The alias that readers use, in Elasticsearch and Qdrant. It leads to the objects of one model at a time."""
        return f"{self.prefix}{name}"

    def of_model(self, name: str) -> str:
        """An object of this model, in Elasticsearch and Qdrant: vectors and scores of two models never mix."""
        return f"{self.prefix}{name}__{self.model}"


def model_in(name: str) -> str | None:
    """The model id in the name of an object of one model; None if the name has none."""
    found = _OF_MODEL.match(name)
    return found[1] if found else None


def checked_namespace(namespace: str) -> str:
    """The namespace. Raises ValueError if it is neither empty nor a name of the allowed form, or has a reserved end."""
    if (namespace and not NAMESPACE.fullmatch(namespace)) or namespace.endswith(RESERVED):
        raise ValueError(
            f"{namespace!r} is not a namespace: it begins with a letter from a to z, and has at most 20 more letters "
            f"from a to z, digits and underscores; it does not end with {' or '.join(RESERVED)}"
        )
    return namespace
