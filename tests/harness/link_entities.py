"""The products and keywords of a link test: changes with vectors, and what brute force needs of the live ones."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from headrace_expected.links import Embeddings
from headrace_schemas.changes import ID_FIELDS
from headrace_schemas.embedded import EMBEDDED, EmbeddedChange, Embedding
from headrace_schemas.fields import Kind

TEXT_FIELDS: dict[Kind, str] = {"product": "title", "keyword": "text"}


class Entities:
    """Makes changes with growing versions, and remembers which entities are live."""

    def __init__(self, model: str, dimension: int) -> None:
        self._model = model
        self._dimension = dimension
        self._versions = 0
        self._live: dict[Kind, dict[str, tuple[str, list[float]]]] = {"product": {}, "keyword": {}}
        self._deleted: dict[Kind, set[str]] = {"product": set(), "keyword": set()}
        self._embedded_texts: dict[str, str] = {}

    def upsert(
        self, kind: Kind, id: str, vector: Sequence[float], text: str | None = None, **fields: Any
    ) -> EmbeddedChange:
        """`vector`: of any length above 0; it is normalised. `text`: by default one that names id and vector."""
        unit = np.asarray(vector, np.float64)
        unit = unit / np.linalg.norm(unit)
        text = text or f"{id} at {unit.round(3).tolist()}"
        embedding = Embedding(
            model=self._model,
            content_hash=hashlib.sha256(self._embedded_texts.get(text, text).encode()).hexdigest(),
            vector=unit.astype("<f4").tobytes(),
        )
        self._live[kind][id] = (text, unit.tolist())
        self._deleted[kind].discard(id)
        return self._change(kind, id, op="upsert", embedding=embedding, **{TEXT_FIELDS[kind]: text}, **fields)

    def rename(self, kind: Kind, id: str, text: str) -> EmbeddedChange:
        """Another text with the same vector and the same content hash."""
        old, vector = self._live[kind][id]
        self._embedded_texts[text] = self._embedded_texts.get(old, old)
        return self.upsert(kind, id, vector, text)

    def delete(self, kind: Kind, id: str) -> EmbeddedChange:
        self._live[kind].pop(id, None)
        self._deleted[kind].add(id)
        return self._change(kind, id, op="delete")

    def embeddings(self, kind: Kind) -> Embeddings:
        """The live entities, and the ids of the deleted ones."""
        live = self._live[kind]
        vectors = np.asarray([vector for _, vector in live.values()], np.float32).reshape(len(live), self._dimension)
        return Embeddings(list(live), [text for text, _ in live.values()], vectors, frozenset(self._deleted[kind]))

    def clear(self) -> None:
        """Forgets every entity. Versions continue to grow."""
        for kind in ID_FIELDS:
            self._live[kind].clear()
            self._deleted[kind].clear()

    def _change(self, kind: Kind, id: str, **fields: Any) -> EmbeddedChange:
        self._versions += 1
        base = {ID_FIELDS[kind]: id, "version": self._versions, "occurred_at": datetime.now(UTC)}
        return EMBEDDED[kind](**base, **fields)
