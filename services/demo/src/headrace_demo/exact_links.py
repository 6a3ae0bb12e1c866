"""What the links of a catalogue have to be, worked out by brute force, and how what a store holds differs from that.

Scores compare within `TIE`: of two keywords that are so near in score either may come first, or be the last one in.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace_clients.topic_reader import open_topics
from headrace_schemas.embedded import EMBEDDED, EmbeddedChange, EmbeddedProduct
from headrace_schemas.fields import Kind
from headrace_worker.settings import CommonSettings

TIE = 1e-5
ROWS_AT_ONCE = 1000

Vectors = NDArray[np.float32]


class Embeddings(NamedTuple):
    """The live entities of one kind: `ids` and `texts` (of a product its title) by row of `vectors`, (n, d) float32.

    `deleted`: the ids of those that are gone.
    """

    ids: list[str]
    texts: list[str]
    vectors: Vectors
    deleted: frozenset[str]


class Exact(NamedTuple):
    """One product's exact answer. `scores`: (m,) cosines with every keyword; `floor`: what a link's has to be at least.

    `least`, `most`: how many links there are, which only a score beside `min_score` leaves open.
    """

    product_id: str
    title: str
    scores: Vectors
    floor: float
    least: int
    most: int


async def read_embeddings(settings: CommonSettings, kind: Kind) -> Embeddings:
    """The newest vector of every entity of a kind, from the topic that `embed` writes."""
    newest: dict[str, EmbeddedChange] = {}
    async with open_topics(settings.kafka, [settings.topics.embedded(kind, settings.model)]) as reader:
        async for record in reader.until_now():
            change = EMBEDDED[kind].model_validate_json(record.value)
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


def exact_links(products: Embeddings, keywords: Embeddings, k: int, min_score: float) -> Iterator[Exact]:
    """The answer for each live product: its `k` best keywords, of those that score `min_score` at least."""
    for start in range(0, len(products.ids), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        of_rows = products.vectors[rows]
        scores = of_rows @ keywords.vectors.T if keywords.ids else np.zeros((len(of_rows), 0), np.float32)
        for id, title, of_one in zip(products.ids[rows], products.texts[rows], scores, strict=True):
            best = np.sort(of_one)[::-1][:k]
            floor = max(float(best[-1]), min_score) if len(best) == k else min_score
            least, most = (int(np.sum(best >= min_score + slack)) for slack in (TIE, -TIE))
            yield Exact(id, title, of_one, floor, least, most)
