"""Triton runs a model of a repository in its own Python, and serves it again after kill -9."""

from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton

from headrace_local.errors import StackError
from headrace_local.stack import Stack

CONFIG = """
name: "double"
backend: "python"
max_batch_size: 8
input [{ name: "x" data_type: TYPE_FP32 dims: [-1] }]
output [{ name: "y" data_type: TYPE_FP32 dims: [-1] }]
instance_group [{ kind: KIND_CPU count: 1 }]
"""
MODEL = """
import os
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime
import triton_python_backend_utils as backend

class TritonPythonModel:
    def execute(self, requests):
        inputs = [backend.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        return [backend.InferenceResponse([backend.Tensor("y", value * 2)]) for value in inputs]
"""


def double(address: str, values: list[float]) -> list[float]:
    given = triton.InferInput("x", [1, len(values)], "FP32")
    given.set_data_from_numpy(np.array([values], dtype=np.float32))
    client = triton.InferenceServerClient(address)
    answer = client.infer("double", [given], client_timeout=60).as_numpy("y")
    client.close()
    assert answer is not None
    return [float(value) for value in answer[0]]


@pytest.mark.servers
@pytest.mark.long
def test_a_model_answers_before_and_after_kill_9(tmp_path: Path) -> None:
    model = tmp_path / "models" / "double"
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text(CONFIG)
    (model / "1" / "model.py").write_text(MODEL)
    stack = Stack(tmp_path / "stack", services={"triton"}, triton_repository=tmp_path / "models")
    try:
        address = stack.up()["HEADRACE_TRITON__URL"]
        assert double(address, [1.0, 2.5]) == [2.0, 5.0]
        stack.kill("triton")
        stack.start("triton")
        assert double(address, [3.0]) == [6.0]
    finally:
        stack.destroy()


def test_triton_is_unknown_without_a_model_repository(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="no server named triton"):
        Stack(tmp_path, services={"triton"})
