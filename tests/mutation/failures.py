"""A pytest plugin that writes the ids of the failed tests to a file: `-p mutation.failures`.

A test has failed if its body has. A fixture that fails says nothing about what the test protects.
"""

import os
from pathlib import Path

import pytest

VARIABLE = "MUTATION_FAILURES"
"""The environment variable that names the file."""
TOTAL = "passed "
"""The file's last line counts the tests that passed."""


class _Outcomes:
    def __init__(self) -> None:
        self.failed: list[str] = []
        self.passed = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self.passed += report.passed
            self.failed += [report.nodeid] if report.failed else []

    def pytest_sessionfinish(self) -> None:
        Path(os.environ[VARIABLE]).write_text("\n".join([*self.failed, f"{TOTAL}{self.passed}"]))


def pytest_configure(config: pytest.Config) -> None:
    """Registers the plugin."""
    config.pluginmanager.register(_Outcomes())
