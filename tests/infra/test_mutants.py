"""The mutants of `make mutants` and `make mutants-deciders` fit the code that they change."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from mutation.mutants import Mutant, read_mutants

ROOT = Path(__file__).parents[2]
MUTANTS = read_mutants(ROOT / "tests/mutation/guarantees")
DECIDERS = tomllib.loads((ROOT / "tests/mutation/deciders.toml").read_text())["decider"]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_one_place_and_names_tests_that_exist(mutant: Mutant) -> None:
    assert mutant.applied(ROOT) != (ROOT / mutant.file).read_text()
    assert mutant.tests
    for test in mutant.tests:
        file, *names = test.split("::")
        text = (ROOT / file).read_text()
        assert all(name.partition("[")[0] in text for name in names), test


def test_no_two_mutants_have_one_name() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("decider", DECIDERS, ids=lambda decider: decider["file"])
def test_a_decider_names_definitions_tests_and_lines_that_exist(decider: dict[str, Any]) -> None:
    text = (ROOT / decider["file"]).read_text()
    assert all(f"def {name}(" in text for name in decider.get("definitions", ()))
    assert all((ROOT / test.partition("::")[0]).is_file() for test in decider["tests"])
    assert all(change.partition(" -> ")[0] in text for change in decider.get("equivalent", ()))
