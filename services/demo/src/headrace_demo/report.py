"""The demo's findings as tables, and as JSON."""

import math
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from headrace_cli.output import inert, table
from headrace_demo.findings import Findings, WorkerFigures
from headrace_demo.keyword_change import KeywordChange, LinkState

WORKER_COLUMNS = ("consumed", "applied", "superseded", "dead", "per s", "p50", "p95", "p99")
LINK_COLUMNS = ("products", "links", "tombstones", "different")
STORE_COLUMNS = ("live products", "tombstones", "live keywords", "tombstones", "different")
LABEL_COLUMNS = ("belonging", "linked", "share")
LINKS_SHOWN = 3


def tables(findings: Findings) -> list[Table]:
    """All tables, in the order to print them."""
    shown = [_workers(findings), _stores(findings), _links(findings), _labels(findings)]
    return [*shown, _keyword_change(findings.keyword_change)] if findings.keyword_change else shown


def as_json(findings: Findings) -> dict[str, Any]:
    """The findings for programs."""
    return {
        "published": findings.published,
        "malformed": findings.malformed,
        "workers": [asdict(worker) | {"adds_up": worker.adds_up} for worker in findings.workers],
        "stores": {
            store: {kind: asdict(comparison) for kind, comparison in kinds.items()}
            for store, kinds in findings.stores.items()
        },
        "links": {store: asdict(comparison) for store, comparison in findings.links.items()},
        "labelled": {locale: asdict(recall) for locale, recall in findings.labels.items()},
        "move": _keyword_change_as_json(findings.keyword_change) if findings.keyword_change else None,
        "problems": findings.problems(),
    }


def _workers(findings: Findings) -> Table:
    shown = table("worker", *WORKER_COLUMNS, title="Every record, worker by worker", right=WORKER_COLUMNS)
    shown.caption = (
        "per s: records while the catalogue was loaded; p50, p95, p99: seconds from\n"
        "occurred_at to applied, of the changes that followed"
    )
    for worker in findings.workers:
        shown.add_row(worker.worker, *_counts(worker), *map(_seconds, worker.delays))
    return shown


def _stores(findings: Findings) -> Table:
    title = "Every store, against the newest version of each entity"
    shown = table("store", *STORE_COLUMNS, title=title, right=STORE_COLUMNS)
    for store, kinds in findings.stores.items():
        stored = [f"{number:,}" for kind in kinds.values() for number in (kind.live, kind.tombstones)]
        shown.add_row(store, *stored, _different(sum(kind.different for kind in kinds.values())))
    return shown


def _links(findings: Findings) -> Table:
    shown = table("links in", *LINK_COLUMNS, title="Every product's links, against brute force", right=LINK_COLUMNS)
    for store, links in findings.links.items():
        stored = (links.products, links.links, links.tombstones)
        shown.add_row(store, *(f"{number:,}" for number in stored), _different(links.different))
    return shown


def _labels(findings: Findings) -> Table:
    title = "Keywords that belong to a product, among its links"
    shown = table("locale", *LABEL_COLUMNS, title=title, right=LABEL_COLUMNS)
    for locale, recall in findings.labels.items():
        shown.add_row(locale, f"{recall.pairs:,}", f"{recall.linked:,}", f"{recall.share:.0%}")
    shown.caption = "how well the model finds what belongs together; the default model is for English"
    return shown


def _keyword_change(change: KeywordChange) -> Table:
    """The links of the product and of the keyword, before and after."""
    shown = table("", "before", "after")
    shown.title = inert(f"{change.keyword_id} was {change.text[0]!r} and becomes {change.text[1]!r}")
    states = (change.before, change.after)
    for place in range(LINKS_SHOWN):
        label = inert(f"{change.after.links.product_id} is linked to") if place == 0 else ""
        shown.add_row(label, *(_keyword(state, place) for state in states))
    shown.add_section()
    for place in range(LINKS_SHOWN):
        label = inert(f"{change.keyword_id} is linked to") if place == 0 else ""
        shown.add_row(label, *(_product(state, place) for state in states))
    shown.add_row("", *(f"{len(state.products):,} products in all" for state in states))
    times = ", ".join(f"{seconds:.2f} s in {store}" for store, seconds in change.seconds.items())
    shown.caption = f"readable after {times}; {change.relinked:,} products were linked again"
    return shown


def _keyword(state: LinkState, place: int) -> Text:
    if place >= len(state.links.links):
        return Text()
    link = state.links.links[place]
    return inert(f"{link.rank}  {link.score:.3f}  {link.keyword_id}  {link.text}")


def _product(state: LinkState, place: int) -> Text:
    if place >= len(state.products):
        return Text()
    product = state.products[place]
    return inert(f"{product.rank}  {product.score:.3f}  {product.product_id}  {product.title}")


def _keyword_change_as_json(change: KeywordChange) -> dict[str, Any]:
    def state_as_json(state: LinkState) -> dict[str, Any]:
        return {"links": state.links.model_dump(), "products": [asdict(product) for product in state.products]}

    return {
        "keyword_id": change.keyword_id,
        "text": list(change.text),
        "before": state_as_json(change.before),
        "after": state_as_json(change.after),
        "seconds": dict(change.seconds),
        "relinked": change.relinked,
    }


def _different(number: int) -> str:
    return f"[{'red' if number else 'green'}]{number:,}[/]"


def _counts(worker: WorkerFigures) -> list[str]:
    counts = (worker.consumed, worker.applied, worker.superseded, worker.dead)
    return [*(f"{count:,}" for count in counts), f"{worker.per_second:,.0f}"]


def _seconds(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"
