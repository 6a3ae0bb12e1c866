"""The exact links of a catalogue, computed by brute force from the current vectors.

Scores that differ by `TIE` or less count as equal: either of two such keywords may be the first, or the last link.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace_clients.topic_reader import open_topics
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.embedded import EMBEDDED, EmbeddedChange, EmbeddedProduct
from headrace_schemas.fields import Kind
from headrace_worker.settings import CommonSettings

TIE = 1e-5
ROWS_AT_ONCE = 1000

Vectors = NDArray[np.float32]


class Embeddings(NamedTuple):
    """The live entities of one kind: `ids` and `texts` (of a product its title) by row of `vectors`, (n, d) float32.

    `deleted`: the ids of the deleted entities.
    """

    ids: list[str]
    texts: list[str]
    vectors: Vectors
    deleted: frozenset[str]


class ExactLinks(NamedTuple):
    """The exact answer for one product. `scores`: (m,) cosines with every keyword; `floor`: the least score of a link.

    `least`, `most`: the number of links. They differ only where a score is about `min_score`.
    """

    product_id: str
    title: str
    scores: Vectors
    floor: float
    least: int
    most: int


async def read_embeddings(settings: CommonSettings, kind: Kind) -> Embeddings:
    """The newest vector of every entity of a kind but the canary, from the topic that `embed` writes."""
    newest: dict[str, EmbeddedChange] = {}
    async with open_topics(settings.kafka, [settings.topics.embedded(kind, settings.model)]) as reader:
        async for record in reader.until_now():
            change = EMBEDDED[kind].model_validate_json(record.value)
            if change.id == CANARY_ID:
                continue
            if change.id not in newest or newest[change.id].version < change.version:
                newest[change.id] = change
    live = [(change, change.embedding) for change in newest.values() if change.embedding is not None]
    vectors = [np.frombuffer(embedding.vector, "<f4") for _, embedding in live]
    return Embeddings(
        ids=[change.id for change, _ in live],
        texts=[(change.title if isinstance(change, EmbeddedProduct) else change.text) or "" for change, _ in live],
        vectors=np.stack(vectors) if vectors else np.zeros((0, 0), np.float32),
        deleted=frozenset(change.id for change in newest.values() if change.deleted),
    )


def exact_links(products: Embeddings, keywords: Embeddings, k: int, min_score: float) -> Iterator[ExactLinks]:
    """For each live product its `k` best keywords, of those with a score of `min_score` or more."""
    for start in range(0, len(products.ids), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        vectors = products.vectors[rows]
        scores = vectors @ keywords.vectors.T if keywords.ids else np.zeros((len(vectors), 0), np.float32)
        for id, title, row_scores in zip(products.ids[rows], products.texts[rows], scores, strict=True):
            best = np.sort(row_scores)[::-1][:k]
            floor = max(float(best[-1]), min_score) if len(best) == k else min_score
            least, most = (int(np.sum(best >= min_score + slack)) for slack in (TIE, -TIE))
            yield ExactLinks(id, title, row_scores, floor, least, most)
