"""Runs tests of a copy of the project in a process that is forked from this one.

A new Python spends most of its time on the imports of libraries. Here they are imported once, before the first fork.
Each fork imports the project's own packages, from the copy.
"""

import importlib
import multiprocessing
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from mutation.copies import Copy

LONGEST_RUN = 900.0
LONGEST_TEST = 60
"""Seconds. A mutant may make a test wait for ever: the test has failed then."""
LIBRARIES = (
    "aiokafka", "anyio.pytest_plugin", "anyio._backends._asyncio", "asyncpg", "elasticsearch", "faststream.asgi",
    "faststream.kafka", "hypothesis.strategies", "numpy", "opentelemetry.sdk.trace", "pgvector.asyncpg",
    "prometheus_client", "psutil", "pydantic_settings", "pytest_asyncio.plugin", "pytest_timeout", "qdrant_client",
    "structlog", "tenacity", "typer", "uvicorn", "uvloop", "xdist.plugin",
)  # fmt: skip
QUIET = ("-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning", f"--timeout={LONGEST_TEST}")

_fork = multiprocessing.get_context("fork")


class NoAnswer(Exception):
    """A run took longer than `LONGEST_RUN`."""


class Run(NamedTuple):
    """`status`: pytest's exit status. `failed`: the ids of the tests whose body failed; a failure of a
    fixture is not about what a test protects. `passed`: how many did not fail.
    """

    status: int
    failed: Sequence[str]
    passed: int


def import_libraries() -> None:
    """Imports what most tests need. Call it before the first run."""
    for name in LIBRARIES:
        importlib.import_module(name)


def run_tests(copy: Copy, tests: Sequence[str], *, exit_first: bool = False) -> Run:
    """Runs pytest with these arguments. Raises NoAnswer."""
    receiving, sending = _fork.Pipe(duplex=False)
    options = [*QUIET, *(["--exitfirst"] if exit_first else []), *tests]
    process = _fork.Process(target=_run, args=(copy, options, sending))
    process.start()
    sending.close()
    try:
        if not receiving.poll(LONGEST_RUN):
            raise NoAnswer
        found: Run = receiving.recv()
    except EOFError:
        found = Run(-1, [], 0)
    finally:
        process.kill()
        process.join()
    return found


class _Outcomes:
    """The pytest plugin that notes them."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.passed = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self.passed += report.passed
            self.failed += [report.nodeid] if report.failed else []


def _run(copy: Copy, options: Sequence[str], answer: "multiprocessing.connection.Connection") -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.chdir(copy.root)
    os.environ["PYTHONPATH"] = os.pathsep.join(copy.sources)
    os.environ["TEST_STACK"] = str(copy.servers)
    sys.dont_write_bytecode = False
    sys.path[:0] = copy.sources
    outcomes = _Outcomes()
    try:
        status = int(pytest.main(list(options), plugins=[outcomes]))
    except Exception:  # what a failed test has left open is an error of its own, after the last test
        status = int(pytest.ExitCode.TESTS_FAILED)
    answer.send(Run(status, outcomes.failed, outcomes.passed))
