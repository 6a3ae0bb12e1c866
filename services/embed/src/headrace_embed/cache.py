"""Vectors on disk by content hash, so that a text is embedded once. A lost vector only costs the time to compute it."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import structlog
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from rocksdict import BlockBasedOptions, Cache, DBCompactionStyle, DBCompressionType, FifoCompactOptions, Options, Rdict

log = structlog.get_logger(__name__)

COPIES = 64
"""The most processes on one machine that have a cache of one model."""
LARGEST_WRITE_BUFFER = 8 * 2**20
SMALLEST_WRITE_BUFFER = 64 * 2**10


class VectorCache:
    """A RocksDB of at most about `max_bytes`, which drops the oldest vectors.

    Each process on the machine takes the first free numbered folder under `folder`, because only one process can open
    a RocksDB. The key of a vector is its content hash, so `folder` must name the model and its exact weights. A damaged
    cache is emptied; a cache that still cannot be opened is not used.
    """

    def __init__(self, folder: Path, dimension: int, max_bytes: int) -> None:
        self._dimension = dimension
        self._max_bytes = max_bytes
        self._lock: FileLock | None = None
        self._database: Rdict | None = None
        try:
            self._lock, slot = _free_slot(folder)
            self._database = self._opened(slot)
        except Exception as error:  # RocksDB raises plain Exception; the worker works without a cache
            log.warning("vector cache is not used", folder=str(folder), error=str(error))

    def get(self, hashes: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The cached vectors among these content hashes, each (d,) float32."""
        if self._database is None or not hashes:
            return {}
        try:
            values = self._database.get([bytes.fromhex(content_hash) for content_hash in hashes]) or []
        except Exception as error:
            log.warning("vector cache cannot be read", error=str(error))
            return {}
        found = zip(hashes, values, strict=True)
        size = self._dimension * 4
        return {key: np.frombuffer(value, dtype="<f4") for key, value in found if value and len(value) == size}

    def put(self, vectors: Mapping[str, NDArray[np.float32]]) -> None:
        """Stores vectors, each (d,) float32, by content hash."""
        if self._database is None:
            return
        try:
            for content_hash, vector in vectors.items():
                self._database[bytes.fromhex(content_hash)] = vector.astype("<f4", copy=False).tobytes()
        except Exception as error:
            log.warning("vector cache cannot be written", error=str(error))

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
        if self._lock is not None:
            self._lock.release()

    def _opened(self, slot: Path) -> Rdict:
        try:
            return Rdict(str(slot), options=self._options())
        except Exception as error:
            log.warning("vector cache is damaged and was emptied", folder=str(slot), error=str(error))
            shutil.rmtree(slot)
            return Rdict(str(slot), options=self._options())

    def _options(self) -> Options:
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_compaction_style(DBCompactionStyle.fifo())
        fifo = FifoCompactOptions()
        fifo.max_table_files_size = self._max_bytes
        options.set_fifo_compaction_options(fifo)
        # FIFO drops whole files, so a file must be a small part of the cap.
        options.set_write_buffer_size(max(SMALLEST_WRITE_BUFFER, min(LARGEST_WRITE_BUFFER, self._max_bytes // 64)))
        options.set_compression_type(DBCompressionType.none())  # float32 noise does not compress
        options.set_max_log_file_size(2**20)
        options.set_keep_log_file_num(1)
        table = BlockBasedOptions()
        table.set_bloom_filter(10, block_based=False)
        table.set_block_cache(Cache(8 * 2**20))
        options.set_block_based_table_factory(table)
        return options


def _free_slot(folder: Path) -> tuple[FileLock, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(COPIES):
        lock = FileLock(folder / f"{number}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        return lock, folder / str(number)
    raise RuntimeError(f"all {COPIES} caches under {folder} are in use")
