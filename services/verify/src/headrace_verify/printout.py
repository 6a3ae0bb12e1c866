"""The report of a comparison as text and as JSON."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from headrace_expected.differences import Difference
from headrace_letters.visible_text import visible
from headrace_verify.purge import Purged
from headrace_verify.report import Found, Report, StoreReport

LISTED = 50
"""Differences of each store that the text shows; JSON has all."""
WIDTH_WITHOUT_TERMINAL = 160
ADVICE = {
    Difference.CONFLICT: "two contents were published under one version: publish a higher one",
    Difference.AHEAD: "the topic may have forgotten the version, or the store may be another installation's: "
    "publish a higher version, or `headrace forget`",
}


def print_text(report: Report) -> None:
    """A table of the stores, the differences, and one line with the conclusion."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL, highlight=False)
    if report.stores:
        console.print(_stores(report))
    for store in report.stores:
        _print_found(console, store)
    for difference, advice in ADVICE.items():
        if any(one.finding.difference is difference for one in report.different):
            console.print(f"{difference.value}: {advice}", markup=False, soft_wrap=True)
    if report.repaired:
        console.print(f"mended: {len(report.repaired):,}")
    for line in report.left[:LISTED]:
        console.print(Text(visible(f"not mended: {line}")), soft_wrap=True)
    for name in report.not_compared:
        console.print(f"{name}: not compared, because it has no scan", markup=False)
    console.print(conclusion(report), markup=False, soft_wrap=True)


def conclusion(report: Report) -> str:
    """One line: what is known."""
    if report.problem:
        return f"nothing was compared: {visible(report.problem)}"
    unread = [one.store for one in report.stores if one.problem]
    unsettled = sum(one.unsettled for one in report.stores)
    found = len(report.different)
    parts = [f"{found:,} differences" if found else ""]
    parts += [f"not compared: {', '.join(unread)}"] if unread else []
    parts += [f"{unsettled:,} may only be late: the workers did not finish in time"] if unsettled else []
    if not any(parts):
        return f"every store is right: {report.entities:,} entities in {report.seconds:.1f} s"
    return "; ".join(filter(None, parts))


def print_json(report: Report) -> None:
    """One JSON document on standard output, in ASCII, so that a terminal interprets nothing in it."""
    sys.stdout.write(json.dumps(as_object(report), indent=2) + "\n")


def print_purged(purged: Sequence[Purged]) -> None:
    """A line for each store."""
    for one in purged:
        problem = f"; not all: {one.problem}" if one.problem else ""
        sys.stdout.write(visible(f"{one.store}: {one.removed:,} tombstones removed{problem}") + "\n")


def print_purged_json(purged: Sequence[Purged]) -> None:
    """One JSON document on standard output."""
    found = {one.store: {"removed": one.removed, "problem": one.problem or None} for one in purged}
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


def as_object(report: Report) -> dict[str, Any]:
    """The report as JSON values."""
    return {
        "right": report.right,
        "known": report.known,
        "problem": report.problem or None,
        "entities": report.entities,
        "seconds": round(report.seconds, 3),
        "stores": [_store_object(one) for one in report.stores],
        "not_compared": list(report.not_compared),
        "repaired": [{"store": one.store} | _found_object(one) for one in report.repaired],
        "not_repaired": list(report.left),
    }


def _store_object(store: StoreReport) -> dict[str, Any]:
    return {
        "store": store.store,
        "compared": store.compared,
        "forgotten_tombstones": store.forgotten,
        "unsettled": store.unsettled,
        "problem": store.problem or None,
        "notes": store.notes,
        "counts": dict(sorted(store.counts.items())),
        "differences": [_found_object(one) for one in store.found],
    }


def _found_object(found: Found) -> dict[str, Any]:
    finding = found.finding
    return {
        "kind": finding.kind,
        "id": finding.id,
        "difference": finding.difference.value,
        "detail": finding.detail,
        "expected_version": finding.expected,
        "stored_version": finding.stored,
    }


def _stores(report: Report) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("store")
    for column in ("compared", "different", "tombstones without a record"):
        table.add_column(column, justify="right")
    table.add_column("")
    for store in report.stores:
        counts = ", ".join(f"{count:,} {name}" for name, count in sorted(store.counts.items()))
        words = "; ".join(filter(None, [store.problem, counts, *store.notes])) or "right"
        numbers = (f"{store.compared:,}", f"{len(store.found):,}", f"{store.forgotten:,}")
        table.add_row(store.store, *numbers, Text(visible(words)))
    return table


def _print_found(console: Console, store: StoreReport) -> None:
    for found in store.found[:LISTED]:
        one = found.finding
        line = f"{store.store}: {one.kind} {one.id} {one.difference.value}: {one.detail}"
        console.print(Text(visible(line)), soft_wrap=True)
    if (more := len(store.found) - LISTED) > 0:
        console.print(f"{store.store}: {more:,} more; --json has all")
