"""Runs labelled queries in every store, and compares the rankings and those fused from two of them."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import product
from statistics import fmean

from headrace_cli.percentiles import percentiles
from headrace_cli.search_quality import LabelledQuery, ndcg, recall
from headrace_cli.store_search import query_vectors, search, stores_vectors
from headrace_cli.worker_stores import installed_worker, open_store
from headrace_schemas.fields import Kind
from headrace_worker.fusion import CANDIDATES, fused
from headrace_worker.store import Hit, Query

ALL = "all"
"""The row of all languages together."""
MEANING = (0.3, 0.5, 0.7)
"""The weights of the store with vectors that are tried."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One way to search, in one language. `ndcg` and `recall`: means, 0 to 1. `p50`, `p99`: milliseconds of a query,
    with its vector where it needs one; None for a ranking that was fused from others' answers.
    """

    searched: str
    language: str
    queries: int
    ndcg: float
    recall: float
    p50: float | None
    p99: float | None


@dataclass(slots=True)
class Answers:
    """What one store answered to each query, and the milliseconds that it took."""

    hits: list[list[Hit]]
    took: list[float]


async def measure(queries: Sequence[LabelledQuery], names: Sequence[str], kind: Kind, limit: int) -> list[Measured]:
    """Each store alone, then each store of vectors with each store of words. Raises Unavailable, CommandError."""
    answers = await _answers(queries, names, kind)
    found = [one for name in names for one in _by_language(name, queries, answers[name], limit)]
    dense = [name for name in names if stores_vectors(installed_worker(name))]
    words = [name for name in names if name not in dense]
    for pair in product(dense, words):
        for title, hits in _fusions(pair, answers):
            found += _by_language(f"{'+'.join(pair)}, {title}", queries, Answers(hits, []), limit)
    return found


async def _answers(queries: Sequence[LabelledQuery], names: Sequence[str], kind: Kind) -> dict[str, Answers]:
    answers = {name: Answers([], []) for name in names}
    async with AsyncExitStack() as stack:
        stores = {name: await stack.enter_async_context(open_store(name)) for name in names}
        dense = {name for name in names if stores_vectors(installed_worker(name))}
        for labelled in queries:
            vector, to_embed = None, 0.0
            if dense:
                began = time.perf_counter()
                vector = (await query_vectors([labelled.query]))[0].tolist()
                to_embed = time.perf_counter() - began
            for name, store in stores.items():
                began = time.perf_counter()
                hits = await search(store, Query(labelled.query, kind, CANDIDATES, vector))
                took = time.perf_counter() - began + (to_embed if name in dense else 0)
                answers[name].hits.append(hits)
                answers[name].took.append(1000 * took)
    return answers


def _fusions(pair: tuple[str, str], answers: Mapping[str, Answers]) -> Iterator[tuple[str, list[list[Hit]]]]:
    first, second = pair
    of_queries = list(zip(answers[first].hits, answers[second].hits, strict=True))
    for weight in MEANING:
        weights = {first: weight, second: 1 - weight}
        yield (
            f"weighted {weight:.0%}",
            [fused({first: one, second: other}, "weighted", weights) for one, other in of_queries],
        )
    even = {first: 0.5, second: 0.5}
    yield "reciprocal", [fused({first: one, second: other}, "reciprocal", even) for one, other in of_queries]


def _by_language(searched: str, queries: Sequence[LabelledQuery], answers: Answers, limit: int) -> Iterator[Measured]:
    languages = sorted({labelled.language for labelled in queries} - {""})
    for language in (*languages, ALL):
        chosen = [at for at, labelled in enumerate(queries) if language in (ALL, labelled.language)]

        def mean(measured: Callable[[Sequence[str], Sequence[str], int], float], chosen: list[int] = chosen) -> float:
            return fmean(measured([hit.id for hit in answers.hits[at]], queries[at].relevant, limit) for at in chosen)

        p50, p99 = percentiles([answers.took[at] for at in chosen], (0.5, 0.99)) if answers.took else (None, None)
        yield Measured(searched, language, len(chosen), mean(ndcg), mean(recall), p50, p99)
