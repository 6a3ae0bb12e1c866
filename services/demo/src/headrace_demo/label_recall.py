"""How many of the keywords that belong to a product are among its links. It judges the model, not the pipeline."""

from collections.abc import Mapping
from dataclasses import dataclass

from headrace_demo.catalogue.fold import fold
from headrace_demo.catalogue.labels import labels
from headrace_demo.scenario import SEED, Story
from headrace_worker.store import LinkStore


@dataclass(slots=True)
class Labelled:
    """Pairs of a product and a keyword that belongs to it, both live. `linked`: those that are links."""

    pairs: int = 0
    linked: int = 0

    @property
    def share(self) -> float:
        """0 to 1."""
        return self.linked / self.pairs if self.pairs else 0.0


async def labelled_links(story: Story, store: LinkStore, moved: str | None) -> Mapping[str, Labelled]:
    """By the products' locale. `moved`: a keyword that no longer means what it was made for."""
    live = {id: newest.record for (_, id), newest in fold(story.published).items() if not newest.deleted}
    belonging = {
        product_id: {id for id in keyword_ids if id in live and id != moved}
        for product_id, keyword_ids in labels(SEED, story.products, story.keywords)
        if product_id in live
    }
    found: dict[str, Labelled] = {}
    async for links in store.scan_links():
        if (wanted := belonging.get(links.product_id)) is not None:
            of_locale = found.setdefault(live[links.product_id]["locale"], Labelled())
            of_locale.pairs += len(wanted)
            of_locale.linked += len(wanted & {link.keyword_id for link in links.links})
    return dict(sorted(found.items()))
