"""Changes in, changes with vectors out. A delete has no vector; a known text has its vector from the cache."""

from collections.abc import Container, Mapping, Sequence
from contextlib import aclosing

import numpy as np
from numpy.typing import NDArray

from headrace_embed.cache import VectorCache
from headrace_embed.embedder import TextEmbedder
from headrace_embed.metrics import CACHE_HITS, CACHE_MISSES
from headrace_embed.text import content_hash, entity_text
from headrace_schemas.changes import KeywordChange, ProductChange
from headrace_schemas.digest import digest_of
from headrace_schemas.embedded import EMBEDDED, Embedding
from headrace_schemas.forget_record import Forget
from headrace_schemas.headers import schema_pair
from headrace_schemas.topics import Topics
from headrace_worker.stage import Applied, Outcome, Output, Rejected, Unavailable

Source = ProductChange | KeywordChange
Found = NDArray[np.float32] | Rejected | Unavailable


class EmbedStage:
    """Publishes each change with the vector of its text, computed once for each distinct text."""

    def __init__(self, embedder: TextEmbedder, cache: VectorCache, topics: Topics) -> None:
        self._embedder = embedder
        self._cache = cache
        self._topics = topics

    async def apply(self, changes: Sequence[Source]) -> Sequence[Outcome]:
        """If the model does not answer, deletes and known texts are applied and only the others are Unavailable."""
        texts = [None if change.deleted else self._text(change) for change in changes]
        hashes = [text if text is None else content_hash(text) for text in texts]
        wanted = {key: text for key, text in zip(hashes, texts, strict=True) if key is not None and text is not None}
        found: dict[str, Found] = dict(self._cache.get(list(wanted)))
        CACHE_HITS.inc(len(found))
        CACHE_MISSES.inc(len(wanted) - len(found))
        computed = await self._computed({key: text for key, text in wanted.items() if key not in found})
        found |= computed
        return [self._outcome(change, key, found, computed) for change, key in zip(changes, hashes, strict=True)]

    async def forget(self, record: Forget) -> Outcome:
        """Passes the record on: the stores with vectors take the version back."""
        topic = self._topics.embedded(record.kind, self._embedder.model.id)
        value = record.model_dump_json().encode()
        return Applied((Output(topic, record.id.encode(), value, (schema_pair(record),)),), without_work=True)

    async def check(self) -> None:
        """Raises Unavailable unless the model answers."""
        await self._embedder.check()

    async def _computed(self, texts: dict[str, str]) -> dict[str, Found]:
        """Vectors by content hash. Each batch goes into the cache, so that a second try computes only the rest."""
        found: dict[str, Found] = {}
        keys = list(texts)
        try:
            async with aclosing(self._embedder.embed_batches(list(texts.values()))) as batches:
                async for batch in batches:
                    rows = dict(zip((keys[position] for position in batch.positions), batch.vectors, strict=True))
                    faults = {keys[batch.positions[row]]: fault for row, fault in batch.faults.items()}
                    good = {key: vector for key, vector in rows.items() if key not in faults}
                    self._cache.put(good)
                    found |= good
                    found |= {key: _wrong_vector(fault) for key, fault in faults.items()}
        except Unavailable as unavailable:
            found = dict.fromkeys(keys, unavailable) | found
        return found

    def _outcome(
        self, change: Source, key: str | None, found: Mapping[str, Found], computed: Container[str]
    ) -> Outcome:
        if key is None:
            return Applied((self._output(change, None),), without_work=True)
        vector = found[key]
        if isinstance(vector, Rejected | Unavailable):
            return vector
        embedding = Embedding(
            model=self._embedder.model.id, content_hash=key, vector=vector.astype("<f4", copy=False).tobytes()
        )
        return Applied((self._output(change, embedding),), without_work=key not in computed)

    def _output(self, change: Source, embedding: Embedding | None) -> Output:
        record = EMBEDDED[change.kind].model_validate(
            {**dict(change), "embedding": embedding, "digest": digest_of(change)}
        )
        return Output(
            topic=self._topics.embedded(change.kind, self._embedder.model.id),
            key=change.id.encode(),
            value=record.model_dump_json(exclude_none=True).encode(),
            headers=(schema_pair(record),),
        )

    def _text(self, change: Source) -> str:
        """The exact text that is embedded. Its hash is the key in the cache: equal words with two prefixes are two."""
        model = self._embedder.model
        return model.prefixed(entity_text(change), model.text_kinds[change.kind])


def _wrong_vector(fault: str) -> Rejected:
    detail = f"the model computed an unusable vector for this text: {fault}"
    return Rejected("wrong_vector", detail, cause=("vector", "norm" if fault.startswith("norm") else fault))
