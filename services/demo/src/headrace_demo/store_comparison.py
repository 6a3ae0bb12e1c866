"""What every store holds against what it has to hold."""

from collections.abc import Iterable, Mapping
from typing import Any

from headrace_cli.searching import holds_vectors
from headrace_demo.catalogue.events import Event
from headrace_demo.comparison import Comparison, compare
from headrace_demo.exact_links import LinkComparison, compare_links, read_embeddings
from headrace_demo.story import expected
from headrace_schemas.fields import Kind
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.settings import CommonSettings
from headrace_worker.store import LinkStore, Store
from headrace_worker.worker import load_worker


async def compared(name: str, store: Store, published: Iterable[Event], model: str) -> dict[Kind, Comparison]:
    """One store's products and keywords against the fold of what was published."""
    await store.refresh()
    wanted = expected(published)
    of_model = model if holds_vectors(load_worker(name)) else None
    return {kind: await compare(store.scan(kind), wanted[kind], model=of_model) for kind in SOURCE_NAMES}


async def compared_links(settings: CommonSettings, stores: Mapping[str, LinkStore]) -> dict[str, LinkComparison]:
    """Every store's link sets against the exact answer from the vectors that are current."""
    link: Any = load_worker("link").settings()
    products, keywords = await read_embeddings(settings, "product"), await read_embeddings(settings, "keyword")
    found = {}
    for name, store in stores.items():
        await store.refresh()
        found[name] = await compare_links(
            store.scan_links(), products, keywords, k=link.link.k, min_score=link.link.min_score
        )
    return found
