"""Weakens the product, one guarantee at a time, and shows that the tests notice: `make mutants`.

Each mutant of mutants.toml changes one place of a copy of the project, and the tests that it names must fail there. The
same tests pass on the unchanged copy first, so that a failure comes from the mutant.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from mutation.copies import project_copy
from mutation.mutants import Mutant, read_mutants
from mutation.verdicts import Verdict, baseline_failures, judge

ROOT = Path(__file__).parents[2]
LISTED = Path(__file__).with_name("mutants.toml")


def main(
    only: Annotated[str, typer.Option(help="Only the mutants whose name or guarantee contains this text.")] = "",
    baseline: Annotated[bool, typer.Option(help="Run the tests on the unchanged copy first.")] = True,
) -> None:
    """Run every mutant and print what became of it. Exit status 0 only if the tests kill all of them."""
    mutants = [mutant for mutant in read_mutants(LISTED) if only in mutant.name or only in mutant.guarantee]
    console = Console()
    with project_copy(ROOT) as copy:
        tests = sorted({test for mutant in mutants for test in mutant.tests})
        if baseline and (failed := baseline_failures(copy, tests)):
            console.print("These tests fail without a mutant:", *failed, sep="\n  ")
            raise typer.Exit(1)
        verdicts = []
        for number, mutant in enumerate(mutants, 1):
            verdict = judge(copy, mutant)
            verdicts.append(verdict)
            console.print(f"{number}/{len(mutants)} {mutant.name}: {verdict.result}, {verdict.seconds:.0f} s")
    console.print(table(mutants, verdicts))
    survivors = sum(verdict.result != "killed" for verdict in verdicts)
    console.print(f"{len(mutants) - survivors} of {len(mutants)} mutants killed")
    raise typer.Exit(1 if survivors or not mutants else 0)


def table(mutants: list[Mutant], verdicts: list[Verdict]) -> Table:
    """One row for each mutant, by guarantee."""
    shown = Table("guarantee", "mutant", "result", "by", "seconds")
    rows = sorted(zip(mutants, verdicts, strict=True), key=lambda row: row[0].guarantee)
    for mutant, verdict in rows:
        shown.add_row(mutant.guarantee, mutant.name, verdict.result, verdict.killed_by, f"{verdict.seconds:.0f}")
    return shown


if __name__ == "__main__":
    typer.run(main)
