"""Checks of the vectors that a model computes, before anything else uses them."""

import numpy as np
from numpy.typing import NDArray

from headrace_worker.stage import Unavailable

NORM_TOLERANCE = 1e-3


class WrongAnswer(Unavailable):
    """The model returned another number of vectors, or vectors of another length, than it was asked for.

    This is a fault of the server and not of a text, so the batch waits and no text becomes a dead letter.
    """


class UnusableVectors(ValueError):
    """Some vectors are not finite or not of unit length.

    `vectors` is the whole (n, d) array, `faults` has the fault of each unusable row; the other
    rows are good.
    """

    def __init__(self, vectors: NDArray[np.float32], faults: dict[int, str]) -> None:
        super().__init__(f"{len(faults)} of {len(vectors)} vectors cannot be used: {next(iter(faults.values()))}")
        self.vectors = vectors
        self.faults = faults


def faulty_rows(vectors: NDArray[np.float32], count: int, dimension: int) -> dict[int, str]:
    """What is wrong with each row that is not finite or not of norm 1 ± 1e-3; empty when all are good.

    Raises WrongAnswer unless there is one vector of `dimension` for each of `count` texts.
    """
    if vectors.shape != (count, dimension):
        raise WrongAnswer("model", f"answered an array of {vectors.shape} for {count} texts of dimension {dimension}")
    finite: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(vectors), axis=1)
    norms: NDArray[np.float32] = np.linalg.norm(np.where(finite[:, None], vectors, 0), axis=1)
    off = finite & (np.abs(norms - 1) > NORM_TOLERANCE)
    faults = {int(row): "not finite" for row in np.flatnonzero(~finite)}
    return faults | {int(row): f"norm {norms[row]:.4f}" for row in np.flatnonzero(off)}
