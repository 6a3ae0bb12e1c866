"""Opens the embedder that the settings ask for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from headrace_embed.embedder import Encoder, TextEmbedder
from headrace_embed.model_files import ModelFiles, model_files
from headrace_embed.onnx_encoder import OnnxEncoder
from headrace_embed.onnx_file import onnx_file
from headrace_embed.settings import EmbedderSettings
from headrace_embed.triton_encoder import TritonEncoder
from headrace_worker.model_catalogue import catalogue_model


@asynccontextmanager
async def open_embedder(settings: EmbedderSettings) -> AsyncIterator[TextEmbedder]:
    """The catalogue model of the settings, in this process or on Triton; closed on exit.

    Raises UnknownModel, ModelFilesMissing, WrongDigest, UnsupportedModel or GraphBuildFailed. A Triton that is
    not there is no error here: the embedder says Unavailable when it is asked.
    """
    files = await asyncio.to_thread(model_files, catalogue_model(settings.model), settings.model_dir)
    encoder = await _encoder(settings, files)
    embedder = TextEmbedder(files, encoder)
    try:
        yield embedder
    finally:
        await embedder.close()


async def _encoder(settings: EmbedderSettings, files: ModelFiles) -> Encoder:
    if settings.embedder == "triton":
        return TritonEncoder(settings.triton, files)
    return OnnxEncoder(await asyncio.to_thread(onnx_file, files), settings.onnx_threads)
