"""Writes the Triton model repository of a catalogue model.

    python -m headrace_embed.triton_repository FOLDER [--backend python] [--model MODEL] [--threads N]

`onnxruntime` is for a Triton that has that backend, with ONNX Runtime 1.23 or newer (release 25.09 and later);
`python` is for one that has only the python backend, whose Python must have onnxruntime and numpy.
"""

import argparse
import os
import shutil
from importlib.resources import as_file
from importlib.resources import files as resources
from pathlib import Path
from typing import Literal, get_args

from headrace_embed.buckets import MAX_ROWS
from headrace_embed.model_files import ModelFiles, model_files
from headrace_embed.onnx_file import DIGESTS, onnx_file
from headrace_embed.triton_encoder import WEIGHTS_PARAMETER
from headrace_worker.model_catalogue import catalogue_model

Backend = Literal["onnxruntime", "python"]


def write_repository(
    folder: Path,
    backend: Backend,
    *,
    model_id: str = "minilm-l6-v2",
    model_dir: Path | None = None,
    threads: int | None = None,
) -> Path:
    """Writes `folder`/`model_id` with one instance of the model on `threads` cores (default: all); safe to repeat.

    Returns `folder`. Raises what `model_files` and `onnx_file` raise.
    """
    files = model_files(catalogue_model(model_id), model_dir)
    model = folder / model_id
    version = model / "1"
    shutil.rmtree(model, ignore_errors=True)
    shutil.copytree(onnx_file(files).parent, version, ignore=shutil.ignore_patterns(DIGESTS))
    if backend == "python":
        with as_file(resources("headrace_embed") / "triton_model.py") as source:
            shutil.copyfile(source, version / "model.py")
    (model / "config.pbtxt").write_text(
        _configuration(files, backend, threads or os.cpu_count() or 1), encoding="utf-8"
    )
    return folder


def _configuration(files: ModelFiles, backend: Backend, threads: int) -> str:
    """Model configuration in protobuf's text format; the digest lets a client refuse other weights."""
    return f"""\
name: "{files.model.id}"
backend: "{backend}"
max_batch_size: {MAX_ROWS}
input [
  {{ name: "input_ids" data_type: TYPE_INT64 dims: [ -1 ] }},
  {{ name: "attention_mask" data_type: TYPE_INT64 dims: [ -1 ] }}
]
output [
  {{ name: "sentence_embedding" data_type: TYPE_FP32 dims: [ {files.model.dimension} ] }}
]
instance_group [ {{ count: 1 kind: KIND_CPU }} ]
dynamic_batching {{ }}
parameters {{ key: "intra_op_thread_count" value: {{ string_value: "{threads}" }} }}
parameters {{ key: "{WEIGHTS_PARAMETER}" value: {{ string_value: "{files.weights_sha256}" }} }}
"""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m headrace_embed.triton_repository")
    parser.add_argument("folder", type=Path, help="the model repository to write")
    parser.add_argument("--backend", choices=get_args(Backend), default="onnxruntime")
    parser.add_argument("--model", default="minilm-l6-v2", help="id in the model catalogue")
    parser.add_argument("--model-dir", type=Path, help="folder with the model's files, if they are not fetched")
    parser.add_argument("--threads", type=int, help="cores that the model uses; default: all")
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    print(
        write_repository(
            given.folder, given.backend, model_id=given.model, model_dir=given.model_dir, threads=given.threads
        )
    )
