"""How many of a product's labels are among its links. It measures the model, not the pipeline.

A label is a keyword of the generated catalogue that belongs to the product.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from headrace_demo.catalogue.labels import labels
from headrace_demo.catalogue.newest_changes import newest_changes
from headrace_demo.scenario import SEED, Scenario
from headrace_worker.store import LinkStore


@dataclass(slots=True)
class LabelRecall:
    """Pairs of a product and one of its labels, both live. `linked`: how many of the pairs are links."""

    pairs: int = 0
    linked: int = 0

    @property
    def share(self) -> float:
        """0 to 1."""
        return self.linked / self.pairs if self.pairs else 0.0


async def label_recall(scenario: Scenario, store: LinkStore, changed_keyword: str | None) -> Mapping[str, LabelRecall]:
    """By the products' locale. `changed_keyword`: a keyword whose new text has nothing to do with its labels."""
    live = {id: newest.record for (_, id), newest in newest_changes(scenario.published).items() if not newest.deleted}
    live_labels = {
        product_id: {id for id in keyword_ids if id in live and id != changed_keyword}
        for product_id, keyword_ids in labels(SEED, scenario.products, scenario.keywords)
        if product_id in live
    }
    found: dict[str, LabelRecall] = {}
    async for links in store.scan_links():
        if (wanted := live_labels.get(links.product_id)) is not None:
            recall = found.setdefault(live[links.product_id]["locale"], LabelRecall())
            recall.pairs += len(wanted)
            recall.linked += len(wanted & {link.keyword_id for link in links.links})
    return dict(sorted(found.items()))
