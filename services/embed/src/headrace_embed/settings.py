"""What the embed worker reads from the environment."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from headrace_worker.settings import BatchSettings, CertificateFile, CommonSettings, WorkerSettings


class TritonSettings(BaseModel):
    """How to reach the Triton Inference Server; used if `embedder` is `triton`."""

    url: str = Field("127.0.0.1:8001", description="host:port of the gRPC endpoint")
    model: str | None = Field(None, description="name of the model on the server; default: the id of the model")
    deadline: float = Field(30.0, gt=0, description="longest wait for one batch, seconds")
    tls: bool = Field(False, description="use TLS, with the authorities in ca_file or else the system's")
    ca_file: CertificateFile | None = Field(
        None, description="PEM file of the authorities to trust; default: the system's"
    )
    cert_file: CertificateFile | None = Field(None, description="PEM file of the client's certificate")
    key_file: str | None = Field(None, description="PEM file of the client's key")


class EmbedderSettings(CommonSettings):
    """Which model computes vectors, and where. The worker and a search by text read this."""

    embedder: Literal["onnx", "triton"] = Field(
        "onnx", description="compute vectors in this process or on a Triton server"
    )
    model_dir: Path | None = Field(
        None,
        description="folder with the model's config.json, tokenizer.json and model.safetensors, or e5-small-q4.bin; "
        "default: the cache",
    )
    onnx_threads: int = Field(0, ge=0, description="cores that the model uses in this process; 0: all cores")
    triton: TritonSettings = TritonSettings()


class EmbedBatchSettings(BatchSettings):
    """Batches are smaller than a sink's: a worker that stops has time for 128 long texts, and to sort more texts by
    length saves no more time. A multilingual model leaves less memory for the values.
    """

    max_records: int = Field(128, ge=1, description="most records of one poll")
    max_bytes: int = Field(
        8 * 2**20,
        ge=2**20,
        description="most bytes of the values of one poll, unpacked; a value larger than half of this may exceed it",
    )


class EmbedSettings(EmbedderSettings, WorkerSettings):
    """The embed worker's settings."""

    batch: EmbedBatchSettings = EmbedBatchSettings()
    cache_dir: Path | None = Field(None, description="folder of the vector cache; default: in the user's cache folder")
    cache_bytes: int = Field(2**30, ge=2**20, description="size limit of the vector cache of one worker process, bytes")
