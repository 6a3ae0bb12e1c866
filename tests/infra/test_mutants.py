"""The mutants of `make mutants` fit the code that they change."""

from pathlib import Path

import pytest
from mutation.mutants import Mutant, read_mutants

ROOT = Path(__file__).parents[2]
MUTANTS = read_mutants(ROOT / "tests/mutation/guarantees")


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
