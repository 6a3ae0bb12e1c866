"""The demo's findings as tables."""

import math
from dataclasses import asdict
from typing import Any

from rich.table import Table

from headrace_cli.demo.findings import Findings, WorkerFigures
from headrace_cli.output import table

COUNTS = ("consumed", "applied", "superseded", "dead", "per s", "p50", "p95", "p99")
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
    counts = (worker.consumed, worker.applied, worker.superseded, worker.dead)
    return [*(f"{count:,}" for count in counts), f"{worker.per_second:,.0f}"]


def _seconds(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"
