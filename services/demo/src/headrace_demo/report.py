"""The demo's findings as tables."""

import math
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from headrace_cli.output import inert, table
from headrace_demo.findings import Findings, WorkerFigures
from headrace_demo.keyword_move import SHOWN, Move, Side

COUNTS = ("consumed", "applied", "superseded", "dead", "per s", "p50", "p95", "p99")
LINKED = ("products", "links", "tombstones", "different")
HELD = ("live products", "tombstones", "live keywords", "tombstones", "different")


def workers_table(findings: Findings) -> Table:
    """One row for each worker."""
    shown = table("worker", *COUNTS, title="Every record, worker by worker", right=COUNTS)
    shown.caption = (
        "per s: records while the catalogue was loaded; p50, p95, p99: seconds from\n"
        "occurred_at to applied, of the changes that followed"
    )
    for worker in findings.workers:
        shown.add_row(worker.worker, *_counts(worker), *map(_seconds, worker.delays))
    return shown


def stores_table(findings: Findings) -> Table:
    """One row for each store."""
    shown = table("store", *HELD, title="Every store, against the newest version of each entity", right=HELD)
    for store, kinds in findings.stores.items():
        held = [f"{number:,}" for kind in kinds.values() for number in (kind.live, kind.tombstones)]
        different = sum(kind.different for kind in kinds.values())
        shown.add_row(store, *held, f"[{'red' if different else 'green'}]{different:,}[/]")
    return shown


def links_table(findings: Findings) -> Table:
    """One row for each store of links."""
    shown = table("links in", *LINKED, title="Every product's links, against brute force", right=LINKED)
    for store, links in findings.links.items():
        held = (links.products, links.links, links.tombstones)
        different = f"[{'red' if links.different else 'green'}]{links.different:,}[/]"
        shown.add_row(store, *(f"{number:,}" for number in held), different)
    return shown


def labelled_table(findings: Findings) -> Table:
    """One row for each language of the catalogue."""
    columns = ("belonging", "linked", "share")
    shown = table("locale", *columns, title="Keywords that belong to a product, among its links", right=columns)
    for locale, found in findings.labelled.items():
        shown.add_row(locale, f"{found.pairs:,}", f"{found.linked:,}", f"{found.share:.0%}")
    shown.caption = "how well the model tells what belongs together; the default model is for English"
    return shown


def move_table(move: Move) -> Table:
    """The links of the product and of the keyword side by side."""
    title = inert(f"{move.keyword_id} was {move.text[0]!r} and becomes {move.text[1]!r}")
    shown = table("", "before", "after")
    shown.title = title
    places = range(SHOWN)
    for place in places:
        label = inert(f"{move.after.links.product_id} is linked to") if place == 0 else ""
        shown.add_row(label, *(_keyword(side, place) for side in (move.before, move.after)))
    shown.add_section()
    for place in places:
        label = inert(f"{move.keyword_id} is linked to") if place == 0 else ""
        shown.add_row(label, *(_product(side, place) for side in (move.before, move.after)))
    shown.add_row("", *(f"{len(side.products):,} products in all" for side in (move.before, move.after)))
    times = ", ".join(f"{seconds:.2f} s in {store}" for store, seconds in move.seconds.items())
    shown.caption = f"readable after {times}; {move.relinked:,} products were linked again"
    return shown


def _keyword(side: Side, place: int) -> Text:
    if place >= len(side.links.links):
        return Text()
    link = side.links.links[place]
    return inert(f"{link.rank}  {link.score:.3f}  {link.keyword_id}  {link.text}")


def _product(side: Side, place: int) -> Text:
    if place >= len(side.products):
        return Text()
    product = side.products[place]
    return inert(f"{product.rank}  {product.score:.3f}  {product.product_id}  {product.title}")


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
        "labelled": {locale: asdict(found) for locale, found in findings.labelled.items()},
        "move": _move_as_json(findings.move) if findings.move else None,
        "problems": findings.problems(),
    }


def _move_as_json(move: Move) -> dict[str, Any]:
    def told(side: Side) -> dict[str, Any]:
        return {"links": side.links.model_dump(), "products": [asdict(product) for product in side.products]}

    return {
        "keyword_id": move.keyword_id,
        "text": list(move.text),
        "before": told(move.before),
        "after": told(move.after),
        "seconds": dict(move.seconds),
        "relinked": move.relinked,
    }


def _counts(worker: WorkerFigures) -> list[str]:
    counts = (worker.consumed, worker.applied, worker.superseded, worker.dead)
    return [*(f"{count:,}" for count in counts), f"{worker.per_second:,.0f}"]


def _seconds(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"
