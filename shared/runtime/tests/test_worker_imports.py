"""A worker imports no library that only some settings need, its definition imports no client library, and its imports
take little CPU time.
"""

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
CLIENT_LIBRARIES = {
    "aiokafka",
    "asyncpg",
    "elasticsearch",
    "faststream",
    "httpx",
    "numpy",
    "pyarrow",
    "qdrant_client",
    "rocksdict",
    "tokenizers",
}
MOST_CPU_SECONDS = 5.0
"""Twice what the slowest worker takes on a busy machine: its client library alone takes more than a second there."""
LOAD = """
import json, sys
from headrace_worker.worker import load_worker
worker = load_worker(sys.argv[1])
defined = sorted(sys.modules)
import headrace_runtime.main
worker.import_libraries()
of_worker = sorted(sys.modules)
for opener in filter(None, (worker.tables, worker.scan, worker.beside)):
    assert callable(opener.resolve())
print(json.dumps([defined, of_worker]))
"""


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("name", worker_names())
def test_a_worker_imports_no_library_that_its_settings_do_not_ask_for(name: str) -> None:
    started = cpu_seconds()
    loaded = subprocess.run([sys.executable, "-c", LOAD, name], check=True, capture_output=True, text=True).stdout
    seconds = cpu_seconds() - started
    by_definition, by_worker = json.loads(loaded)
    assert not CLIENT_LIBRARIES & set(by_definition)
    assert not NEEDED_BY_SOME_SETTINGS & set(by_worker)
    assert seconds < MOST_CPU_SECONDS
