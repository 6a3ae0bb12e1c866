"""One collection: an engine shard and the parameters it was created with."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import qdrant_edge as engine
from qdrant_client import models

from headrace_local.qdrant_server.reads import Json
from headrace_local.qdrant_server.refusal import from_engine
from headrace_local.qdrant_server.updates import DEFAULT_VECTOR, VectorSizes

PARAMETERS = "collection.json"
SHARD = "shard"
FLUSH_SECONDS = 5

Answer = TypeVar("Answer")


class Collection:
    """An open collection. Its methods block; the engine releases the interpreter lock."""

    def __init__(self, place: Path) -> None:
        self.parameters = models.CreateCollection.model_validate_json((place / PARAMETERS).read_bytes())
        self.sizes = VectorSizes({name: vector.size for name, vector in _vectors(self.parameters).items()})
        self.shard = engine.EdgeShard.load(str(place / SHARD))
        self._writing = threading.Lock()
        self._dirty = False
        self._operations = 0

    @staticmethod
    def create(place: Path, parameters: models.CreateCollection) -> None:
        """Write a new collection's files into the empty directory `place`."""
        vectors = {
            name: engine.EdgeVectorParams(size=vector.size, distance=getattr(engine.Distance, vector.distance.value))
            for name, vector in _vectors(parameters).items()
        }
        (place / PARAMETERS).write_text(parameters.model_dump_json(exclude_none=True))
        shard = engine.EdgeShard.create(str(place / SHARD), engine.EdgeConfig(vectors=vectors, wal_enabled=True))
        shard.close()

    def apply(self, operations: Sequence[engine.UpdateOperation]) -> Json:
        """Apply writes in order; on return they are in the write-ahead log.

        One write at a time, so that a condition always sees the result of all earlier writes.

        Raises
        ------
        Refusal
            If the engine refuses one. The writes before it stay applied, as on the real server.
        """
        with self._writing:
            for operation in operations:
                self._dirty = True
                try:
                    self.shard.update(operation)
                except Exception as error:
                    raise from_engine(error) from error
            self._operations += 1
            return {"operation_id": self._operations, "status": "completed"}

    def read(self, request: Callable[[engine.EdgeShard], Answer]) -> Answer:
        """The answer to a read.

        Raises
        ------
        Refusal
            If the engine refuses it.
        """
        try:
            return request(self.shard)
        except Exception as error:
            raise from_engine(error) from error

    def flush(self) -> None:
        """Move the content of the log into the segments, so that a restart has little to replay."""
        if self._dirty:
            self._dirty = False
            self.shard.flush()

    def close(self) -> None:
        with self._writing:
            self.shard.flush()
            self.shard.close()

    def info(self) -> Json:
        """The collection's parameters and sizes in the shape of the real server's answer."""
        now = self.shard.info()
        created = self.parameters
        params = models.CollectionParams(
            vectors=created.vectors,
            shard_number=1,
            replication_factor=created.replication_factor or 1,
            write_consistency_factor=created.write_consistency_factor or 1,
            on_disk_payload=created.on_disk_payload,
        )
        config = models.CollectionConfig(
            params=params,
            hnsw_config=models.HnswConfig(m=16, ef_construct=100, full_scan_threshold=10000),
            optimizer_config=models.OptimizersConfig(default_segment_number=1, flush_interval_sec=FLUSH_SECONDS),
            metadata=created.metadata,
        )
        schema = {
            field: models.PayloadIndexInfo(data_type=_schema_name(index.data_type), points=index.points)
            for field, index in now.payload_schema.items()
        }
        info = models.CollectionInfo(
            status=models.CollectionStatus.GREEN,
            optimizer_status=models.OptimizersStatusOneOf.OK,
            indexed_vectors_count=now.indexed_vectors_count,
            points_count=now.points_count,
            segments_count=now.segments_count,
            config=config,
            payload_schema=schema,
        )
        return info.model_dump(mode="json", exclude_none=True)


def _vectors(parameters: models.CreateCollection) -> dict[str, models.VectorParams]:
    if isinstance(parameters.vectors, models.VectorParams):
        return {DEFAULT_VECTOR: parameters.vectors}
    return parameters.vectors or {}


def _schema_name(kind: engine.PayloadSchemaType) -> models.PayloadSchemaType:
    return models.PayloadSchemaType(str(kind).rpartition(".")[2].lower())
