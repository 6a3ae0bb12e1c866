"""What a model finds in each language and what it costs, without servers: python -m benchmarks.models [MODEL ...]

The keywords of the generated catalogue that belong to a product: the percentage of them that is among the 30 nearest
of all keywords, by the product's language. The CPU time of a text in milliseconds, on one core. The largest memory of
the process; each model has its own.
"""

import argparse
import asyncio
import multiprocessing
import resource
import time
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from headrace_demo.catalogue.changes import creations
from headrace_demo.catalogue.labels import labels
from headrace_demo.scenario import SEED
from headrace_embed.embedder import TextEmbedder, open_embedder
from headrace_embed.settings import EmbedderSettings
from headrace_embed.text import entity_text
from headrace_schemas.changes import CHANGES, KeywordChange, ProductChange
from headrace_schemas.fields import Kind

MODELS = ("minilm-l6-v2", "multilingual-e5-small-q4")
PRODUCTS = 2000
KEYWORDS = (500, 3000)
LINKS = 30


@dataclass(frozen=True)
class ModelFigures:
    """`shares`: percentages by number of keywords and locale. `milliseconds`: of CPU for a text. `megabytes`: peak."""

    model: str
    shares: dict[int, dict[str, float]]
    milliseconds: float
    megabytes: float


async def measure(model: str) -> ModelFigures:
    """Embeds the catalogue once, in this process."""
    changes = [
        CHANGES[one.kind].model_validate(one.record)
        for one in creations(SEED, products=PRODUCTS, keywords=max(KEYWORDS))
    ]
    products = [change for change in changes if isinstance(change, ProductChange)]
    keywords = [change for change in changes if isinstance(change, KeywordChange)]
    async with open_embedder(EmbedderSettings(model=model, onnx_threads=1)) as embedder:
        began = time.process_time()
        nearest = await _vectors(embedder, products) @ (await _vectors(embedder, keywords)).T
        took = time.process_time() - began
    shares = {count: _shares(products, nearest[:, :count]) for count in KEYWORDS}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return ModelFigures(model, shares, 1000 * took / len(changes), peak)


async def _vectors(embedder: TextEmbedder, changes: list[ProductChange] | list[KeywordChange]) -> NDArray[np.float32]:
    kind: Kind = changes[0].kind
    return await embedder.embed([entity_text(change) for change in changes], embedder.model.text_kinds[kind])


def _shares(products: list[ProductChange], scores: NDArray[np.float32]) -> dict[str, float]:
    belonging: dict[str, int] = defaultdict(int)
    linked: dict[str, int] = defaultdict(int)
    for product, row, (_, wanted) in zip(products, scores, labels(SEED, PRODUCTS, scores.shape[1]), strict=True):
        locale = product.locale or ""
        belonging[locale] += len(wanted)
        linked[locale] += len(wanted & {f"k-{number:05}" for number in np.argsort(-row)[:LINKS]})
    return {locale: 100 * linked[locale] / belonging[locale] for locale in sorted(belonging)}


def _measured(model: str) -> ModelFigures:
    return asyncio.run(measure(model))


def main() -> None:
    """Measures one model after the other and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models", description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    table = Table("model", "keywords", "en-US", "ja-JP", "ko-KR", "CPU ms a text", "peak MB")
    processes = multiprocessing.get_context("spawn")
    for model in parser.parse_args().models:
        with processes.Pool(1) as pool:
            figures = pool.apply(_measured, (model,))
        for count, shares in figures.shares.items():
            cells = [f"{shares[locale]:.0f} %" for locale in ("en-US", "ja-JP", "ko-KR")]
            table.add_row(model, f"{count:,}", *cells, f"{figures.milliseconds:.1f}", f"{figures.megabytes:.0f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
