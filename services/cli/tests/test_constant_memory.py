"""Large files and catalogues are streamed: many rows need as much memory as few rows."""

import csv
import itertools
import json
import random
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace_demo.catalogue.products import products

pytestmark = pytest.mark.alone

_GROWTH_BYTES = 24 * 2**20
"""Less than the size of each large file (36 MiB and more), and more than the variation of the allocators."""

# The kernel's peak of this program alone. The peak of getrusage starts with that of the parent process.
_PEAK = """
from pathlib import Path
def peak():
    return next(line.split()[1] for line in Path("/proc/self/status").open() if line.startswith("VmHWM"))
"""
_COUNT = """
import sys
from headrace_cli.files.formats import rows
print(sum(1 for _ in rows(Path(sys.argv[1]))), peak())
"""
_GENERATE = """
import sys
from headrace_demo.catalogue.products import products
print(sum(1 for _ in products(7, int(sys.argv[1]))), peak())
"""


def _run(program, argument):
    done = subprocess.run(
        [sys.executable, "-c", _PEAK + program, str(argument)], check=True, capture_output=True, text=True
    )
    count, peak = done.stdout.split()
    return int(count), int(peak) * 1024


def _rows(count):
    """Rows that no dictionary or compression makes small: each has 600 random letters."""
    letters = random.Random(7)
    for number, row in enumerate(itertools.islice(itertools.cycle(list(products(7, 500))), count)):
        texts = {"product_id": f"p-{number}", "description": letters.randbytes(300).hex()}
        yield {**row, **texts, "attributes": json.dumps(row["attributes"])}


def _write(path, count):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(_rows(count))), path, row_group_size=count)
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            writer = csv.DictWriter(file, next(_rows(1)))
            writer.writeheader()
            writer.writerows(_rows(count))
        else:
            file.writelines(json.dumps(row) + "\n" for row in _rows(count))


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_reading_many_rows_takes_as_much_memory_as_few(tmp_path, suffix):
    small, large = tmp_path / f"small.{suffix}", tmp_path / f"large.{suffix}"
    _write(small, 10_000)
    _write(large, 60_000)
    few, few_peak = _run(_COUNT, small)
    many, many_peak = _run(_COUNT, large)
    assert (few, many) == (10_000, 60_000)
    assert many_peak - few_peak < _GROWTH_BYTES


def test_generating_many_products_takes_as_much_memory_as_few():
    few, few_peak = _run(_GENERATE, 1000)
    many, many_peak = _run(_GENERATE, 50_000)
    assert (few, many) == (1000, 50_000)
    assert many_peak - few_peak < _GROWTH_BYTES
