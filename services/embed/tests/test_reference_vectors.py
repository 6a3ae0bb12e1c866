"""The default model gives the vectors that sentence-transformers gives."""

import base64
import json
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from headrace_embed.embedder import TextEmbedder
from headrace_embed.onnx_encoder import OnnxEncoder
from headrace_embed.tokens import TextTokenizer

OWN = Path(__file__).with_name("minilm_reference.json")


def references() -> list[Path]:
    """The project's own texts, and a larger file of the user's (`HEADRACE_REFERENCE`) if the variable is set."""
    given = os.environ.get("HEADRACE_REFERENCE")
    return [OWN, *([Path(given)] if given else [])]


def read(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if path != OWN:
        return content["texts"], np.array(content["vectors"], dtype=np.float32)
    vectors = [np.frombuffer(base64.b64decode(row["vector"]), dtype="<f4") for row in content["texts"]]
    return [row["text"] for row in content["texts"]], np.stack(vectors)


@pytest.mark.parametrize("path", references(), ids=lambda path: path.stem)
async def test_vectors_are_those_of_sentence_transformers(embedder: TextEmbedder, path: Path) -> None:
    texts, expected = read(path)
    vectors = await embedder.embed(texts, "document")
    assert np.abs(vectors - expected).max() < 1e-5


@pytest.mark.parametrize("path", references(), ids=lambda path: path.stem)
async def test_a_vector_does_not_depend_on_the_texts_beside_it(embedder: TextEmbedder, path: Path) -> None:
    texts, expected = read(path)
    alone = np.concatenate([await embedder.embed([text], "document") for text in texts])
    together = await embedder.embed(texts * 3, "document")
    assert np.abs(alone - expected).max() < 1e-5
    assert np.abs(together - np.tile(alone, (3, 1))).max() < 1e-5


async def test_padding_far_beyond_a_text_does_not_change_its_vector(
    encoder_file: Path, tokenizer: TextTokenizer
) -> None:
    texts, expected = read(OWN)
    encoder = OnnxEncoder(encoder_file, threads=2)
    token_ids = tokenizer.token_ids([texts[0]])[0]
    for length in (len(token_ids), 64, 256):
        ids = np.zeros((1, length), dtype=np.int64)
        mask = np.zeros((1, length), dtype=np.int64)
        ids[0, : len(token_ids)] = token_ids
        mask[0, : len(token_ids)] = 1
        vector = await encoder.encode(ids, mask)
        assert np.abs(vector[0] - expected[0]).max() < 1e-5
    await encoder.close()


async def test_no_text_gives_no_vector(embedder: TextEmbedder) -> None:
    assert (await embedder.embed([], "query")).shape == (0, 384)
