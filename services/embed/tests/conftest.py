"""The default model, once for the session."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from headrace_embed.embedder import TextEmbedder
from headrace_embed.model_files import ModelFiles, model_files
from headrace_embed.onnx_encoder import OnnxEncoder
from headrace_embed.onnx_file import onnx_file
from headrace_embed.tokens import TextTokenizer
from headrace_worker.model_catalogue import catalogue_model
from headrace_worker.stage import Unavailable


@pytest.fixture(scope="session")
def files() -> ModelFiles:
    return model_files(catalogue_model("minilm-l6-v2"))


@pytest.fixture(scope="session")
def encoder_file(files: ModelFiles) -> Path:
    return onnx_file(files)


@pytest.fixture(scope="session")
def tokenizer(files: ModelFiles) -> TextTokenizer:
    return TextTokenizer(files)


@pytest.fixture
async def embedder(files: ModelFiles, encoder_file: Path) -> AsyncIterator[TextEmbedder]:
    embedder = TextEmbedder(files, OnnxEncoder(encoder_file, threads=2))
    yield embedder
    await embedder.close()


class RecordedEncoder:
    """An encoder that gives every text the same unit vector, and that can be unavailable or give wrong vectors."""

    concurrency = 2

    def __init__(self, dimension: int = 384) -> None:
        self._vector = np.full(dimension, dimension**-0.5, dtype=np.float32)
        self.texts = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self.batches_until_unavailable: int | None = None
        self.missing_rows = 0
        self.faulty_length: int | None = None
        """Tokens of the texts whose vector is not finite."""

    async def encode(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> NDArray[np.float32]:
        await self.check()
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(0)
        self.in_flight -= 1
        self.texts += len(input_ids)
        if self.batches_until_unavailable is not None:
            self.batches_until_unavailable -= 1
        vectors = np.tile(self._vector, (len(input_ids) - self.missing_rows, 1))
        if self.faulty_length is not None:
            vectors[attention_mask.sum(axis=1) == self.faulty_length] = np.nan
        return vectors

    async def check(self) -> None:
        if self.batches_until_unavailable is not None and self.batches_until_unavailable <= 0:
            raise Unavailable("model", "connection refused")

    async def close(self) -> None: ...


@pytest.fixture
def recorded() -> RecordedEncoder:
    return RecordedEncoder()


@pytest.fixture
def recorded_embedder(files: ModelFiles, recorded: RecordedEncoder) -> TextEmbedder:
    return TextEmbedder(files, recorded)
