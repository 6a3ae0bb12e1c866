"""The encoder in this process: onnxruntime on the CPU, in a thread of its own."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headrace_embed.onnx_session import open_session
from headrace_worker.work_thread import WorkThread


class OnnxEncoder:
    """Runs one batch at a time on `threads` cores (0: all cores), while the next batch waits in the queue."""

    concurrency = 2

    def __init__(self, file: Path, threads: int) -> None:
        self._session = open_session(file, threads)
        self._thread = WorkThread("onnx")

    async def encode(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, d) float32 for (n, tokens) int64. A cancelled call still computes its batch to the end."""
        return await self._thread.run(self._run, input_ids, attention_mask)

    async def check(self) -> None:
        """The model is in this process, and so always available."""

    async def close(self) -> None:
        self._thread.close()

    def _run(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> NDArray[np.float32]:
        feed = {"input_ids": input_ids, "attention_mask": attention_mask}
        vectors: NDArray[np.float32] = self._session.run(["sentence_embedding"], feed)[0]
        return vectors
