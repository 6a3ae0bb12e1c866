"""What the embed worker reads from the environment."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from headrace_worker.settings import BatchSettings, CommonSettings, WorkerSettings


class TritonSettings(BaseModel):
    """How to reach the Triton Inference Server, with `embedder` = `triton`."""

    url: str = Field("127.0.0.1:8001", description="host:port of its gRPC endpoint")
    model: str | None = Field(None, description="name in its model repository; default: the catalogue id")
    deadline: float = Field(30.0, gt=0, description="of one batch, seconds")
    tls: bool = Field(False, description="encrypt, and trust only what ca_file or the system says")
    ca_file: str | None = Field(None, description="PEM file of the authorities to trust; default: the system's")
    cert_file: str | None = Field(None, description="PEM file of the client's certificate")
    key_file: str | None = Field(None, description="PEM file of the client's key")


class EmbedderSettings(CommonSettings):
    """Which model computes vectors, and where: what the worker and a search need alike."""

    embedder: Literal["onnx", "triton"] = Field("onnx", description="in this process, or on a Triton server")
    model_dir: Path | None = Field(
        None,
        description="folder with the model's config.json, tokenizer.json and model.safetensors; default: the cache",
    )
    onnx_threads: int = Field(0, ge=0, description="cores that the model uses in this process; 0: all of them")
    triton: TritonSettings = TritonSettings()


class EmbedBatchSettings(BatchSettings):
    """Smaller batches than a sink's: even 128 long texts are computed within the time that a stopping worker has,
    and sorting a larger window saves nothing more.
    """

    max_records: int = Field(128, ge=1, description="records of one poll")


class EmbedSettings(EmbedderSettings, WorkerSettings):
    """The embed worker's settings."""

    batch: EmbedBatchSettings = EmbedBatchSettings()
    cache_dir: Path | None = Field(None, description="folder of the cached vectors; default: the user's cache folder")
    cache_bytes: int = Field(2**30, ge=2**20, description="cap of the cached vectors of one worker process, bytes")
