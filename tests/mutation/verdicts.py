"""Runs tests on a copy of the project and says what became of a mutant."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from mutation.copies import Copy
from mutation.failures import TOTAL, VARIABLE
from mutation.mutants import Mutant

LONGEST_RUN = 900.0
LONGEST_TEST = 120
"""Seconds. A mutant may make a test wait for ever: the test has failed then."""
TESTS_FAILED = 1
"""Exit status of pytest when tests ran and some failed; every other one but 0 says that they did not run as planned."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant. `killed_by`: the first test that failed, or why nothing can be said."""

    result: Literal["killed", "survived", "broken"]
    killed_by: str
    seconds: float


class _Run(NamedTuple):
    """`status`: pytest's exit status. `failed`: the ids of the tests whose body failed. `passed`: how many did not."""

    status: int
    failed: Sequence[str]
    passed: int


def judge(copy: Copy, mutant: Mutant) -> Verdict:
    """Applies the mutant to the copy, runs its tests and restores the copy. Raises MutantMismatch.

    The mutant is killed if a test fails with it and passes without it, right afterwards and on the same servers. If
    the test fails again, what the mutant has left on the servers may be the cause: they are replaced, and the mutant
    gets a second trial.
    """
    began = time.monotonic()
    result, why = _trial(copy, mutant)
    if result == "broken":
        copy.forget_servers()
        result, why = _trial(copy, mutant)
    return Verdict(result, why, time.monotonic() - began)


def _trial(copy: Copy, mutant: Mutant) -> tuple[Literal["killed", "survived", "broken"], str]:
    file = copy.root / mutant.file
    original = file.read_text()
    file.write_text(mutant.applied(copy.root))
    try:
        with_mutant = _run(copy, mutant.tests, () if mutant.every else ("--exitfirst",))
        file.write_text(original)
        if with_mutant.status == 0 or (mutant.every and with_mutant.passed):
            return "survived", f"{with_mutant.passed} tests passed"
        if with_mutant.status != TESTS_FAILED or not with_mutant.failed:
            return "broken", f"pytest ended with {with_mutant.status}, and no test failed"
        first = with_mutant.failed[0]
        without = _run(copy, [first])
    except subprocess.TimeoutExpired:
        return "broken", f"no answer within {LONGEST_RUN:g} s"
    finally:
        file.write_text(original)
    return ("killed", first) if without.status == 0 else ("broken", f"fails without the mutant: {first}")


def _run(copy: Copy, tests: Sequence[str], options: Sequence[str] = ()) -> _Run:
    with tempfile.NamedTemporaryFile() as outcomes:
        plugins = ["-p", "no:cacheprovider", "-p", "mutation.failures"]
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *plugins, f"--timeout={LONGEST_TEST}", *options, *tests],
            cwd=copy.root,
            env=copy.environment | {VARIABLE: outcomes.name},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=LONGEST_RUN,
        )
        *failed, total = Path(outcomes.name).read_text().splitlines() or [f"{TOTAL}0"]
        return _Run(ended.returncode, failed, int(total.removeprefix(TOTAL)))
