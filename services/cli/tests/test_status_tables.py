"""What `headrace status` shows fits a terminal of 80 columns, and no name or number in it is cut off."""

import io

from rich.console import Console, Group

from headrace_cli.worker_measures import Measures
from headrace_cli.worker_overview import Workers, remarks, worker_table
from headrace_cli.worker_states import WorkerState

MODEL = "a-model-with-a-long-name"
BUCKETS = {0.5: 50.0, 10.0: 99.0, 15.0: 100.0, float("inf"): 100.0}


def shown(*states: WorkerState) -> str:
    groups = [one.group for one in states]
    workers = Workers(
        "headrace.",
        states,
        to_go=dict.fromkeys(groups, 12_345),
        rates=dict.fromkeys(groups, 1_234.0),
        ages=dict.fromkeys(groups, 3_600.5),
        delays=dict.fromkeys(groups, BUCKETS),
        measures=Measures({"elasticsearch": 1_234}, {}),
        transactions=[],
        model=MODEL,
    )
    console = Console(file=io.StringIO(), width=80, highlight=False)
    console.print(Group(worker_table(workers), *remarks(workers)))
    written = console.file
    assert isinstance(written, io.StringIO)
    return written.getvalue()


def test_the_workers_fit_a_terminal_of_80_columns() -> None:
    groups = ("elasticsearch", f"link.{MODEL}", f"link.{MODEL}.receipts", "dead_letters")
    names = ("elasticsearch", "link", "link.receipts", "dead_letters")
    text = shown(*(WorkerState(group, f"headrace.{group}", 0, 0, (), (), 0) for group in groups))
    assert "…" not in text
    for name in names:
        (row,) = (line for line in text.splitlines() if line.split()[:1] == [name])
        assert row.split()[1:6] == ["not", "running", "0", "1,234", "12,345"]


def test_what_a_worker_says_follows_the_table_in_whole_lines() -> None:
    problem = "unavailable: elasticsearch since 12:03:04 UTC: 429 cluster_block_exception [red]"
    text = shown(
        WorkerState("elasticsearch", "headrace.elasticsearch", 2, 1, (problem,), ("records expired",), 3),
        WorkerState("qdrant", "headrace.qdrant", 1, 1, (), (), 0),
    )
    said = " ".join(text.split())
    assert f"elasticsearch: {problem}" in said
    assert "elasticsearch: records expired" in said
    assert "elasticsearch: 3 conflicts" in said
    assert "qdrant:" not in said
