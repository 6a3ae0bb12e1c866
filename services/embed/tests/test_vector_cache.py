"""Vectors on disk survive their process and stay within a limit; a damaged cache starts empty."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from headrace_embed.cache import VectorCache

DIMENSION = 384
KEYS = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(12000)]


def vectors(keys: list[str]) -> dict[str, NDArray[np.float32]]:
    return {key: np.random.default_rng(int(key[:8], 16)).random(DIMENSION, dtype=np.float32) for key in keys}


def size(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):  # compaction removes files meanwhile
            total += file.stat().st_size
    return total


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[VectorCache]:
    cache = VectorCache(tmp_path, DIMENSION, 2**24)
    yield cache
    cache.close()


def test_a_stored_vector_is_returned_unchanged(cache: VectorCache) -> None:
    stored = vectors(KEYS[:3])
    cache.put(stored)
    found = cache.get(KEYS[:5])
    assert found.keys() == stored.keys()
    assert all(np.array_equal(found[key], stored[key]) for key in stored)


def test_vectors_survive_the_end_of_the_process(tmp_path: Path) -> None:
    for first in (True, False):
        cache = VectorCache(tmp_path, DIMENSION, 2**24)
        assert len(cache.get(KEYS[:10])) == (0 if first else 10)
        cache.put(vectors(KEYS[:10]))
        cache.close()


def test_vectors_survive_a_kill(tmp_path: Path) -> None:
    script = (
        "import os, sys, numpy as np; from pathlib import Path; from headrace_embed.cache import VectorCache\n"
        f"VectorCache(Path(sys.argv[1]), 384, 2**24).put({{'{KEYS[0]}': np.ones(384, dtype=np.float32)}})\n"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, timeout=60).returncode == -9
    cache = VectorCache(tmp_path, DIMENSION, 2**24)
    assert np.array_equal(cache.get(KEYS[:1])[KEYS[0]], np.ones(DIMENSION, dtype=np.float32))
    cache.close()


def test_the_cache_stays_within_its_cap_and_keeps_the_newest(tmp_path: Path) -> None:
    cap = 2**22
    cache = VectorCache(tmp_path, DIMENSION, cap)
    largest = 0
    for start in range(0, len(KEYS), 500):
        cache.put(vectors(KEYS[start : start + 500]))
        largest = max(largest, size(tmp_path))
    assert len(KEYS) * DIMENSION * 4 > 4 * cap
    assert largest < 1.5 * cap
    assert len(cache.get(KEYS[-100:])) == 100
    assert cache.get(KEYS[:100]) == {}
    cache.close()


def test_a_second_copy_on_the_machine_has_a_cache_of_its_own(tmp_path: Path) -> None:
    first, second = VectorCache(tmp_path, DIMENSION, 2**24), VectorCache(tmp_path, DIMENSION, 2**24)
    first.put(vectors(KEYS[:1]))
    second.put(vectors(KEYS[1:2]))
    assert list(first.get(KEYS[:2])) == KEYS[:1]
    assert list(second.get(KEYS[:2])) == KEYS[1:2]
    first.close()
    third = VectorCache(tmp_path, DIMENSION, 2**24)
    assert list(third.get(KEYS[:2])) == KEYS[:1]
    second.close()
    third.close()


def test_a_damaged_cache_starts_empty(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path, DIMENSION, 2**24)
    cache.put(vectors(KEYS[:10]))
    cache.close()
    for file in (tmp_path / "0").glob("MANIFEST*"):
        file.write_bytes(b"not a manifest")
    cache = VectorCache(tmp_path, DIMENSION, 2**24)
    assert cache.get(KEYS[:10]) == {}
    cache.put(vectors(KEYS[:10]))
    assert len(cache.get(KEYS[:10])) == 10
    cache.close()


def test_damaged_entries_count_as_missing(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path, DIMENSION, 2**20)
    cache.put(vectors(KEYS[:500]))
    cache.close()
    for file in (tmp_path / "0").glob("*.sst"):
        content = bytearray(file.read_bytes())
        content[: len(content) // 2] = bytes(len(content) // 2)
        file.write_bytes(content)
    cache = VectorCache(tmp_path, DIMENSION, 2**20)
    stored = vectors(KEYS[:500])
    assert all(np.array_equal(vector, stored[key]) for key, vector in cache.get(KEYS[:500]).items())
    cache.close()


def test_a_folder_that_cannot_be_written_turns_the_cache_off(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = VectorCache(tmp_path / "file", DIMENSION, 2**24)
    cache.put(vectors(KEYS[:1]))
    assert cache.get(KEYS[:1]) == {}
    cache.close()
