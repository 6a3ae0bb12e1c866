"""Weakens the product, one guarantee at a time, and shows that the tests fail: `make mutants`.

Each mutant of the files in guarantees/ changes one place of a copy of the project. One of the tests that it names must
fail there, and pass again once the place is as it was.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from mutation.copies import project_copy
from mutation.mutants import Mutant, read_mutants
from mutation.runs import import_libraries
from mutation.verdicts import Verdict, judge

ROOT = Path(__file__).parents[2]
LISTED = Path(__file__).with_name("guarantees")


def main(
    only: Annotated[str, typer.Option(help="Only the mutants whose name, guarantee or file contains this text.")] = "",
) -> None:
    """Run every mutant and print its result. Exit status 0 only if the tests kill all of them."""
    mutants = [one for one in read_mutants(LISTED) if any(only in text for text in (one.name, one.guarantee, one.file))]
    console = Console()
    import_libraries()
    with project_copy(ROOT) as copy:
        verdicts = []
        for number, mutant in enumerate(mutants, 1):
            verdict = judge(copy, mutant)
            verdicts.append(verdict)
            shown = f"{number}/{len(mutants)} {mutant.name}: {verdict.result}, {verdict.seconds:.0f} s"
            console.print(shown if verdict.result == "killed" else f"{shown}: {verdict.why}", markup=False)
    console.print(table(mutants, verdicts))
    survivors = sum(verdict.result != "killed" for verdict in verdicts)
    seconds = sum(verdict.seconds for verdict in verdicts)
    console.print(f"{len(mutants) - survivors} of {len(mutants)} mutants killed in {seconds / 60:.0f} min")
    raise typer.Exit(1 if survivors or not mutants else 0)


def table(mutants: list[Mutant], verdicts: list[Verdict]) -> Table:
    """One row for each mutant, by guarantee."""
    shown = Table("guarantee", "mutant", "result", "by", "seconds")
    rows = sorted(zip(mutants, verdicts, strict=True), key=lambda row: row[0].guarantee)
    for mutant, verdict in rows:
        test = verdict.why.rpartition("::")[2]
        shown.add_row(mutant.guarantee, mutant.name, verdict.result, test, f"{verdict.seconds:.0f}")
    return shown


if __name__ == "__main__":
    typer.run(main)
