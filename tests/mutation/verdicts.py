"""Runs tests on a copy of the project and says what became of a mutant."""

import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mutation.copies import environment
from mutation.mutants import Mutant

LONGEST_SECONDS = 900.0
"""A mutant may make a test wait for ever; that counts as killed only if pytest says so within this time."""
TESTS_FAILED = 1
"""Exit status of pytest when tests ran and some failed; every other one but 0 says that they did not run as planned."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant. `killed_by`: the first test that failed, or why nothing can be said."""

    result: Literal["killed", "survived", "broken"]
    killed_by: str
    seconds: float


def judge(copy: Path, mutant: Mutant) -> Verdict:
    """Applies the mutant to the copy, runs its tests and restores the copy. Raises MutantMismatch."""
    file = copy / mutant.file
    original = file.read_text()
    file.write_text(mutant.applied(copy))
    began = time.monotonic()
    try:
        status, failed = _run(copy, mutant.tests, "--exitfirst")
    except subprocess.TimeoutExpired:
        return Verdict("broken", f"no answer within {LONGEST_SECONDS:g} s", time.monotonic() - began)
    finally:
        file.write_text(original)
    seconds = time.monotonic() - began
    if status == 0:
        return Verdict("survived", "", seconds)
    if status == TESTS_FAILED and failed:
        return Verdict("killed", failed[0], seconds)
    return Verdict("broken", f"pytest ended with {status}", seconds)


def baseline_failures(copy: Path, tests: Sequence[str]) -> list[str]:
    """The tests that fail, or do not run, on the unchanged copy."""
    status, failed = _run(copy, tests)
    return failed or ([] if status == 0 else [f"pytest ended with {status}"])


def _run(copy: Path, tests: Sequence[str], *options: str) -> tuple[int, list[str]]:
    """The exit status of pytest, and the tests whose body failed; a fixture that fails kills no mutant."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        arguments = ["-q", "-p", "no:cacheprovider", f"--junitxml={report}", *options, *tests]
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", *arguments],
            cwd=copy,
            env=environment(copy),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=LONGEST_SECONDS,
        )
        cases = ElementTree.parse(report).iter("testcase") if report.exists() else ()  # our own report
        return ended.returncode, [str(case.get("name")) for case in cases if case.find("failure") is not None]
