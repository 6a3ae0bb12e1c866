"""The demo's findings as tables."""

import math
from dataclasses import asdict
from typing import Any

from rich.table import Table

from headrace_cli.demo.findings import Findings, WorkerFigures


def workers_table(findings: Findings) -> Table:
    """One row for each worker."""
    table = Table(
        title="Every record, worker by worker",
        title_justify="left",
        caption="events/s: while the catalogue was loaded. delay: of the changes that followed, until applied.",
        caption_justify="left",
    )
    table.add_column("worker")
    for name in ("published", "consumed", "applied", "superseded", "dead", "events/s", "delay p50", "p95", "p99"):
        table.add_column(name, justify="right")
    for worker in findings.workers:
        table.add_row(worker.worker, *_counts(worker), *map(_seconds, worker.delays))
    return table


def stores_table(findings: Findings) -> Table:
    """One row for each store."""
    table = Table(title="Every store, against the newest version of each entity", title_justify="left")
    table.add_column("store")
    for name in ("live products", "tombstones", "live keywords", "tombstones", "different"):
        table.add_column(name, justify="right")
    for store, kinds in findings.stores.items():
        held = [f"{number:,}" for kind in kinds.values() for number in (kind.live, kind.tombstones)]
        different = sum(kind.different for kind in kinds.values())
        table.add_row(store, *held, f"[red]{different:,}[/]" if different else "[green]0[/]")
    return table


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
        "problems": findings.problems(),
    }


def _counts(worker: WorkerFigures) -> list[str]:
    counts = (worker.published, worker.consumed, worker.applied, worker.superseded, worker.dead)
    return [*(f"{count:,}" for count in counts), f"{worker.per_second:,.0f}"]


def _seconds(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f} s"
