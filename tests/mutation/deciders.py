"""Mutates the deciders, functions over values, with cosmic-ray: `make mutants-deciders`.

cosmic-ray finds the small changes that a module allows (another comparison, a number one higher, a condition negated)
and makes them. Each is one mutant of a module of deciders.toml, and one of the module's tests must fail. The few
mutants that change nothing that can be observed are listed there with the reason; any other survivor fails the run.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import ndiff
from pathlib import Path
from typing import Annotated, Any

import typer
from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from rich.console import Console
from rich.table import Table

from mutation.copies import Copy, project_copy
from mutation.runs import NoAnswer, import_libraries, run_tests

ROOT = Path(__file__).parents[2]
LISTED = Path(__file__).with_name("deciders.toml")
LEFT_OUT = re.compile(
    r"core/(RemoveDecorator|ReplaceBinaryOperator_(BitOr_.*|.*_(BitOr|BitAnd|BitXor|LShift|RShift|Pow|Mod|FloorDiv))"
    r"|ReplaceComparisonOperator_(?!Is).*_Is(Not)?)"
)
"""Operators whose mutants do not run, or not differently: `|` is nearly always a union of types, a class needs its
decorator, bits of fractions are an error, and small numbers that are equal are the same object.
"""


@dataclass(frozen=True, slots=True)
class Decider:
    """A module, or `definitions` of it, with the tests that must notice its mutants.

    `equivalent`: changes, as `old line -> new line`, that no test can notice, each with the reason.
    """

    file: str
    tests: Sequence[str]
    definitions: Sequence[str] = ()
    equivalent: dict[str, str] | None = None


def main(only: Annotated[str, typer.Option(help="Only the modules whose path contains this text.")] = "") -> None:
    """Run every mutant of every decider. Exit status 0 only if the tests kill all but the listed ones."""
    console = Console()
    import_libraries()
    shown = Table("decider", "mutants", "killed", "equivalent")
    unexpected = 0
    with project_copy(ROOT) as copy:
        for decider in read_deciders(LISTED):
            if only not in decider.file:
                continue
            counts, survivors = judge(copy, decider)
            console.print(f"{decider.file}: {counts['killed']} of {counts.total()} killed", markup=False)
            for change in survivors:
                console.print(f"{decider.file}: {change}", markup=False)
            unexpected += len(survivors)
            shown.add_row(decider.file, str(counts.total()), str(counts["killed"]), str(counts["equivalent"]))
    console.print(shown)
    raise typer.Exit(1 if unexpected else 0)


def read_deciders(path: Path) -> list[Decider]:
    """Every entry of the TOML file. Raises TypeError for one that lacks a field."""
    return [Decider(**fields) for fields in tomllib.loads(path.read_text())["decider"]]


def judge(copy: Copy, decider: Decider) -> tuple[Counter[str], list[str]]:
    """How many mutants were killed, are equivalent and survived, and what is unexpected: changes that survived, and
    changes that are listed as equivalent although there is no such mutant or a test kills it.
    """
    original = (copy.root / decider.file).read_text()
    if run_tests(copy, decider.tests).status != 0:
        return Counter(), [f"the tests fail without a mutant: {' '.join(decider.tests)}"]
    counts: Counter[str] = Counter()
    survivors: list[str] = []
    expected = dict(decider.equivalent or {})
    unseen = set(expected)
    for change, mutated in mutants(copy.root / decider.file, decider.definitions):
        copy.write(decider.file, mutated)
        try:
            killed = run_tests(copy, decider.tests, exit_first=True).status != 0
        except NoAnswer:
            killed = True
        finally:
            copy.write(decider.file, original)
        if killed:
            counts["killed"] += 1
        elif change in expected:
            counts["equivalent"] += 1
            unseen.discard(change)
        else:
            counts["survived"] += 1
            survivors.append(f"survived: {change}")
    return counts, [*survivors, *(f"listed, and killed or not there: {change}" for change in sorted(unseen))]


def mutants(path: Path, definitions: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each change of the module, as `old line -> new line`, with the module's text after it."""
    original = path.read_text()
    seen = {original}
    with use_db(":memory:", WorkDB.Mode.create) as database:
        init([path], database, {})
        found: list[Any] = [mutation for item in database.work_items for mutation in item.mutations]
    for mutation in found:
        if LEFT_OUT.fullmatch(mutation.operator_name) or (definitions and mutation.definition_name not in definitions):
            continue
        mutated = mutate_code(
            original, get_operator(mutation.operator_name)(**mutation.operator_args), mutation.occurrence
        )
        # `strict` of zip is an assertion.
        if mutated is not None and mutated.replace("strict=False", "strict=True") not in seen:
            seen.add(mutated)
            yield described(original, mutated), mutated


def described(original: str, mutated: str) -> str:
    """The lines that differ."""
    lines = list(ndiff(original.splitlines(), mutated.splitlines()))
    old, new = ([line[2:].strip() for line in lines if line.startswith(sign)] for sign in ("- ", "+ "))
    return f"{' '.join(old)} -> {' '.join(new)}"


if __name__ == "__main__":
    typer.run(main)
