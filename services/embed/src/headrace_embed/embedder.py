"""Texts to vectors with one catalogue model, in this process or on Triton."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from headrace_embed.buckets import TokenBatch, padded, plan_batches
from headrace_embed.metrics import PADDED_TOKENS, TEXTS, TOKENS
from headrace_embed.model_files import ModelFiles, model_files
from headrace_embed.onnx_file import onnx_file
from headrace_embed.settings import EmbedderSettings
from headrace_embed.tokens import TextTokenizer
from headrace_embed.vector_faults import UnusableVectors, faulty_rows
from headrace_worker.model_catalogue import TextKind, catalogue_model
from headrace_worker.work_thread import WorkThread

TEXTS_AT_ONCE = 16
"""Texts of one piece of work of the tokenizer: at their longest it takes 40 MB for them."""


class Encoder(Protocol):
    """Computes the vectors of one padded batch. This differs between ONNX in this process and Triton."""

    concurrency: int
    """The number of batches to have in flight: more would only wait."""

    async def encode(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, d) float32 for (n, tokens) int64. Raises Unavailable if nothing can be computed now."""
        ...

    async def check(self) -> None:
        """Raises Unavailable unless `encode` would answer, with this model."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True)
class EncodedBatch:
    """Vectors of some of the texts: `positions` in the caller's list, (n, d) float32, L2-normalised.

    `faults`: what is wrong with each unusable row, by its index in `vectors`.
    """

    positions: tuple[int, ...]
    vectors: NDArray[np.float32]
    faults: dict[int, str]


class TextEmbedder:
    """Tokenises texts, cuts them into batches, computes their vectors and checks them."""

    def __init__(self, files: ModelFiles, encoder: Encoder) -> None:
        self.model = files.model
        self.cache_name = f"{files.model.id}-{files.fingerprint[:16]}"
        self._pad_token_id = files.shape.pad_token_id
        self._tokenizer = TextTokenizer(files)
        self._encoder = encoder
        self._thread = WorkThread("tokenizer")

    async def embed(self, texts: Sequence[str], kind: TextKind) -> NDArray[np.float32]:
        """(n, d) float32, L2-normalised, in the order of `texts`, which come without the model's prefix.

        Raises Unavailable if the model does not answer, UnusableVectors if some vectors are not finite or not
        of unit length.
        """
        vectors = np.empty((len(texts), self.model.dimension), dtype=np.float32)
        faults: dict[int, str] = {}
        prefixed = [self.model.prefixed(text, kind) for text in texts]
        async with aclosing(self.embed_batches(prefixed)) as batches:
            async for batch in batches:
                vectors[list(batch.positions)] = batch.vectors
                faults |= {batch.positions[row]: fault for row, fault in batch.faults.items()}
        if faults:
            raise UnusableVectors(vectors, faults)
        return vectors

    async def embed_batches(self, texts: Sequence[str]) -> AsyncGenerator[EncodedBatch, None]:
        """The vectors of exact texts (`prefixed`), batch by batch, so that a failure loses only the batches after it.

        Raises Unavailable. Each text's position comes once. Close the iterator if it is left early.
        """
        token_ids = await self._token_ids(texts)
        in_flight: deque[asyncio.Task[EncodedBatch]] = deque()
        try:
            for batch in plan_batches([len(tokens) for tokens in token_ids], self.model.max_tokens):
                in_flight.append(asyncio.create_task(self._encode(batch, token_ids)))
                if len(in_flight) >= self._encoder.concurrency:
                    yield await in_flight.popleft()
            while in_flight:
                yield await in_flight.popleft()
        finally:
            for task in in_flight:
                task.cancel()
            await asyncio.gather(*in_flight, return_exceptions=True)

    async def check(self) -> None:
        """Raises Unavailable unless the model answers."""
        await self._encoder.check()

    async def close(self) -> None:
        self._thread.close()
        await self._encoder.close()

    async def _token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """In small pieces, between which the call can be cancelled."""
        found: list[list[int]] = []
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            found += await self._thread.run(self._tokenizer.token_ids, texts[start : start + TEXTS_AT_ONCE])
        return found

    async def _encode(self, batch: TokenBatch, token_ids: Sequence[Sequence[int]]) -> EncodedBatch:
        ids, mask = padded([token_ids[position] for position in batch.positions], batch.length, self._pad_token_id)
        vectors = await self._encoder.encode(ids, mask)
        TEXTS.inc(len(ids))
        TOKENS.inc(sum(len(token_ids[position]) for position in batch.positions))
        PADDED_TOKENS.inc(ids.size)
        return EncodedBatch(batch.positions, vectors, faulty_rows(vectors, len(ids), self.model.dimension))


@asynccontextmanager
async def open_embedder(settings: EmbedderSettings) -> AsyncIterator[TextEmbedder]:
    """The catalogue model of the settings, in this process or on Triton; closed on exit.

    Raises UnknownModel, ModelFilesMissing, WrongDigest, UnsupportedModel or GraphBuildFailed. Triton may be down: then
    the embedder raises Unavailable when it is used.
    """
    files = await asyncio.to_thread(model_files, catalogue_model(settings.model), settings.model_dir)
    encoder = await _encoder(settings, files)
    embedder = TextEmbedder(files, encoder)
    try:
        yield embedder
    finally:
        await embedder.close()


async def _encoder(settings: EmbedderSettings, files: ModelFiles) -> Encoder:
    # Imported here, because each of them loads a large library and a worker needs only one.
    if settings.embedder == "triton":
        from headrace_embed.triton_encoder import TritonEncoder

        return TritonEncoder(settings.triton, files)
    from headrace_embed.onnx_encoder import OnnxEncoder

    return OnnxEncoder(await asyncio.to_thread(onnx_file, files), settings.onnx_threads)
