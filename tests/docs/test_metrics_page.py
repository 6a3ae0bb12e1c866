"""The table of metrics in the documentation is that of the code."""

import re
from collections.abc import Iterator
from pathlib import Path

from fastapi import FastAPI
from prometheus_client.metrics_core import Metric

from headrace_canary.group_lags import GroupLags
from headrace_canary.metrics import CanaryMetrics
from headrace_cli.supervisor import Supervisor
from headrace_cli.supervisor_metrics import SupervisorMetrics
from headrace_console.console_metrics import ConsoleMetrics
from headrace_runtime.metrics import Metrics
from headrace_verify.metrics import VerifyMetrics
from headrace_worker.worker import load_worker, worker_names

PAGE = Path(__file__).parents[2] / "docs/metrics.md"
NOT_EXPLAINED = {"headrace_worker"}
"""Replaced by the label `worker`, and kept for those who read it."""


def families() -> Iterator[Metric]:
    """Those of every worker, those that only one of them has, and those of canary, verify, console and supervisor."""
    for name in worker_names():
        yield from Metrics(name, (), load_worker(name).metrics).registry.collect()
    yield from CanaryMetrics([], 5.0, GroupLags()).registry.collect()
    yield from VerifyMetrics([], 900.0).registry.collect()
    yield from ConsoleMetrics(FastAPI()).registry.collect()
    yield from SupervisorMetrics(Supervisor({}, lambda name, line: None)).collect()


def rows() -> dict[str, list[str]]:
    """The cells of each row of the table, by the name of the metric."""
    lines = re.findall(r"^\| `(headrace_\w+)` \|(.*)\|$", PAGE.read_text(), re.M)
    return {name: [cell.strip() for cell in cells.split(" | ")] for name, cells in lines}


def test_every_metric_is_in_the_table_with_its_type_and_nothing_else_is() -> None:
    exposed = {
        family.name + {"counter": "_total", "info": "_info"}.get(family.type, ""): family.type
        for family in families()
        if family.name.startswith("headrace_")
    }
    documented = {name: cells[0] for name, cells in rows().items()}
    known = {name: "gauge" if type == "info" else type for name, type in exposed.items() if name not in NOT_EXPLAINED}
    assert documented == known
