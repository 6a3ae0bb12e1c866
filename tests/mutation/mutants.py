"""The mutants: tests/mutation/guarantees has one file for each guarantee."""

import tomllib
from dataclasses import dataclass
from pathlib import Path


class MutantMismatch(ValueError):
    """A mutant's text is not exactly once in its file: the code has changed and the mutant has to follow."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One weakening. `guarantee`: the one of docs/guarantees.md that it removes. `file`: relative to the project.

    `old` is in the file exactly once and `new` takes its place. `tests`: pytest arguments; at least one must fail, or,
    with `every`, each of them.
    """

    name: str
    guarantee: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    every: bool = False

    def applied(self, root: Path) -> str:
        """The file's text with the mutation. Raises MutantMismatch."""
        text = (root / self.file).read_text()
        if (found := text.count(self.old)) != 1:
            raise MutantMismatch(f"{self.name}: its text is {found} times in {self.file}, not once: {self.old!r}")
        return text.replace(self.old, self.new)


def read_mutants(folder: Path) -> list[Mutant]:
    """The mutants of every TOML file, in the order of their names. Raises TypeError for an entry that lacks a field."""
    mutants = []
    for file in sorted(folder.glob("*.toml")):
        listed = tomllib.loads(file.read_text())
        for fields in listed["mutant"]:
            mutants.append(Mutant(guarantee=listed["guarantee"], **fields | {"tests": tuple(fields["tests"])}))
    return mutants
