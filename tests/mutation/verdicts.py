"""The result of a mutant."""

import time
from dataclasses import dataclass
from typing import Literal

from mutation.copies import Copy
from mutation.mutants import Mutant
from mutation.runs import NoAnswer, run_tests

TESTS_FAILED = 1
"""Exit status of pytest when tests ran and some failed; others, except 0, mean that they did not run as planned."""

Result = Literal["killed", "survived", "broken"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`why`: the first test that failed, or why there is no result. `seconds`: what it took."""

    result: Result
    why: str
    seconds: float


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


def _trial(copy: Copy, mutant: Mutant) -> tuple[Result, str]:
    original = (copy.root / mutant.file).read_text()
    copy.write(mutant.file, mutant.applied(copy.root))
    try:
        with_mutant = run_tests(copy, mutant.tests, exit_first=not mutant.every)
        copy.write(mutant.file, original)
        if with_mutant.status == 0 or (mutant.every and with_mutant.passed):
            return "survived", f"{with_mutant.passed} tests passed"
        if with_mutant.status != TESTS_FAILED or not with_mutant.failed:
            return "broken", f"pytest ended with {with_mutant.status}, and no test failed"
        first = with_mutant.failed[0]
        without = run_tests(copy, [first])
    except NoAnswer:
        return "broken", "the tests did not end"
    finally:
        copy.write(mutant.file, original)
    return ("killed", first) if without.status == 0 else ("broken", f"fails without the mutant: {first}")
