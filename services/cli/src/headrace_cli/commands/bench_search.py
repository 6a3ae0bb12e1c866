"""Measures how good the searches of each store are."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from headrace_cli.errors import CommandError
from headrace_cli.files.json_lines import JsonLinesFile
from headrace_cli.files.rows import BadRow
from headrace_cli.options import AsJson, OfKind
from headrace_cli.output import inert, print_json, screen, table
from headrace_cli.search_bench import Measured, measure
from headrace_cli.search_quality import LabelledQuery
from headrace_worker.opened_stores import workers

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)


@app.command("bench-search")
def bench_search(
    file: Annotated[Path, typer.Argument(help="JSONL: a query, its right answers, its language.", dir_okay=False)],
    stores: Annotated[
        list[str] | None, typer.Option("--in", metavar="STORE", help="A store; repeat it. Default: every store.")
    ] = None,
    kind: OfKind = "product",
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many results count.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Measure the quality and the time of searches, by store and language, on queries whose right answers are known.

    A line of the file is `{"query": "…", "relevant": ["id", …], "language": "ko"}`; the language may be missing.
    `headrace generate` writes such a file of its catalogue, `queries.jsonl`.
    """
    queries = _read(file)
    names = stores or [worker.name for worker in workers() if worker.store is not None]
    measured = asyncio.run(measure(queries, names, kind, limit))
    if as_json:
        print_json([asdict(one) for one in measured])
    else:
        _show(measured, limit)


def _read(file: Path) -> list[LabelledQuery]:
    """Raises CommandError for a file that does not exist, has a wrong line or no queries, and UnreadableFile."""
    if not file.exists():
        raise CommandError(f"{file}: no such file")
    queries = []
    for row in JsonLinesFile(file):
        if isinstance(row, BadRow):
            raise CommandError(f"{file}, line {row.line}: {row.why}")
        try:
            queries.append(LabelledQuery.model_validate(row.fields))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise CommandError(f"{file}, line {row.line}: {where}: {first['msg']}") from None
    if not queries:
        raise CommandError(f"{file} has no queries")
    return queries


def _show(measured: list[Measured], limit: int) -> None:
    numbers = ("queries", f"nDCG@{limit}", f"recall@{limit}", "p50 ms", "p99 ms")
    shown = table("searched", "language", *numbers, right=numbers)
    before = ""
    for one in measured:
        times = ("" if took is None else f"{took:.1f}" for took in (one.p50, one.p99))
        name = "" if one.searched == before else one.searched
        before = one.searched
        shown.add_row(name, inert(one.language), f"{one.queries:,}", f"{one.ndcg:.3f}", f"{one.recall:.3f}", *times)
    screen().print(shown)
