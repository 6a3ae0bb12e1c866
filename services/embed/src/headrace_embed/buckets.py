"""Which texts share a batch: sorted by length and cut by tokens, because padding takes most of the time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BUCKETS: tuple[int, ...] = (*range(8, 64, 8), *range(64, 128, 16), *range(128, 256, 32), 256)
"""Lengths in tokens that batches are padded to; above the last, its multiples.

Product texts cluster between 60 and 100 tokens. Powers of two would pad them to 128, which costs 1.6 times the
work of these steps; exact lengths would save 5 % more and never give Triton two requests of one shape.
"""

TOKEN_BUDGET = 1024
"""Tokens of one batch, padding included: more is no faster on a CPU, and the memory grows with it."""

MAX_ROWS = TOKEN_BUDGET // BUCKETS[0]
"""Texts of the largest batch, which a model server must accept."""


@dataclass(frozen=True)
class TokenBatch:
    """Positions in the caller's list of the texts in this batch, and the length in tokens they are padded to."""

    positions: tuple[int, ...]
    length: int


def plan_batches(lengths: Sequence[int], max_tokens: int, budget: int = TOKEN_BUDGET) -> list[TokenBatch]:
    """Cuts texts of these token counts, in order of length, into batches of one bucket and at most `budget` tokens.

    Every position is in exactly one batch. A text longer than the budget has a batch of its own.
    """
    batches: list[TokenBatch] = []
    taken: list[int] = []
    taken_length = 0
    for position in sorted(range(len(lengths)), key=lengths.__getitem__):
        length = bucket(lengths[position], max_tokens)
        if taken and (length != taken_length or (len(taken) + 1) * length > budget):
            batches.append(TokenBatch(tuple(taken), taken_length))
            taken = []
        taken.append(position)
        taken_length = length
    if taken:
        batches.append(TokenBatch(tuple(taken), taken_length))
    return batches


def bucket(length: int, max_tokens: int) -> int:
    """The length to pad to: the smallest bucket that is long enough, but at most the model's maximum."""
    for size in BUCKETS:
        if length <= size:
            return min(size, max_tokens)
    largest = BUCKETS[-1]
    return min(-(-length // largest) * largest, max_tokens)


def padded(
    token_ids: Sequence[Sequence[int]], length: int, pad_token_id: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(input_ids, attention_mask), both (n, length) int64, padded on the right."""
    ids = np.full((len(token_ids), length), pad_token_id, dtype=np.int64)
    mask = np.zeros((len(token_ids), length), dtype=np.int64)
    for row, tokens in enumerate(token_ids):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    return ids, mask
