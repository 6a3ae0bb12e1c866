"""The model for Triton's python backend, where a Triton has no onnxruntime backend.

`triton_repository` copies this file as `1/model.py` beside `1/model.onnx`; Triton calls the class by its name.
Interface: Triton's python backend passes requests whose tensors have one shape, and expects one response for each, in
the same order.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as triton  # type: ignore[import-not-found]  # only inside Triton

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import; this file runs without the package headrace_embed

import onnxruntime


class TritonPythonModel:
    """Runs the requests that Triton has combined, as one batch."""

    def initialize(self, args: dict[str, str]) -> None:
        folder = Path(args["model_repository"]) / args["model_version"]
        parameters = json.loads(args["model_config"])["parameters"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(parameters["intra_op_thread_count"]["string_value"])
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        feed = {
            name: np.concatenate([triton.get_input_tensor_by_name(request, name).as_numpy() for request in requests])
            for name in ("input_ids", "attention_mask")
        }
        rows = [len(triton.get_input_tensor_by_name(request, "input_ids").as_numpy()) for request in requests]
        vectors = self._session.run(["sentence_embedding"], feed)[0]
        parts = np.split(vectors, np.cumsum(rows)[:-1])
        return [triton.InferenceResponse([triton.Tensor("sentence_embedding", part)]) for part in parts]
