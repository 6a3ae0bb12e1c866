"""A worker imports no library that only some settings need, and its imports take little CPU time."""

import json
import resource
import subprocess
import sys

import pytest

from headrace_worker.worker import worker_names

NEEDED_BY_SOME_SETTINGS = {
    "opentelemetry.sdk",
    "opentelemetry.exporter",
    "onnxruntime",
    "tritonclient",
    "pandas",
    "playwright",
    "typer",
}
MOST_CPU_SECONDS = 5.0
"""Twice what the slowest worker takes on a busy machine: its client library alone takes more than a second there."""
LOAD = """
import json, sys
import headrace_runtime.main
from headrace_worker.worker import load_worker
load_worker(sys.argv[1])
print(json.dumps(sorted(sys.modules)))
"""


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("name", worker_names())
def test_a_worker_imports_no_library_that_its_settings_do_not_ask_for(name: str) -> None:
    started = cpu_seconds()
    loaded = subprocess.run([sys.executable, "-c", LOAD, name], check=True, capture_output=True, text=True).stdout
    seconds = cpu_seconds() - started
    assert not NEEDED_BY_SOME_SETTINGS & set(json.loads(loaded))
    assert seconds < MOST_CPU_SECONDS
