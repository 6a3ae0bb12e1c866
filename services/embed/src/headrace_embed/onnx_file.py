"""The encoder's ONNX file in the cache: built once for given weights, and checked at every start.

    python -m headrace_embed.onnx_file MODEL [MODEL_DIR]

builds it. A worker starts another process for this, because the build takes three times the memory of the model.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

from headrace_embed.model_files import ModelFiles, built_once, cache_folder, model_files, sha256_of
from headrace_worker.model_catalogue import catalogue_model

GRAPH_VERSION = 1
"""Increase this with each change of the graph, so that no file of an older builder is used."""

BUILD_TIMEOUT_SECONDS = 300
ONNX_FILE = "model.onnx"
DIGESTS = "SHA256SUMS"


class GraphBuildFailed(RuntimeError):
    """The encoder could not be built; the message is the builder's."""


def onnx_file(files: ModelFiles) -> Path:
    """The encoder of `files` as ONNX, built when it is missing or damaged. Raises GraphBuildFailed."""
    folder = _folder(files)
    if not _intact(folder):
        command = [sys.executable, "-m", "headrace_embed.onnx_file", files.model.id, str(files.folder)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=BUILD_TIMEOUT_SECONDS)
        if done.returncode != 0:
            raise GraphBuildFailed((done.stderr.strip().splitlines() or ["the builder died"])[-1])
    return folder / ONNX_FILE


def build(files: ModelFiles) -> Path:
    """Writes the encoder into the cache, once, in this process, and returns its path."""
    from headrace_embed.onnx_graph import write_encoder  # a worker that finds the file never imports the builder

    folder = _folder(files)
    with built_once(folder, _intact) as empty:
        if empty is not None:
            write_encoder(files.weights, files.shape, files.model.pooling, empty / ONNX_FILE)
            sums = "".join(f"{sha256_of(file)}  {file.name}\n" for file in sorted(empty.iterdir()))
            (empty / DIGESTS).write_text(sums, encoding="ascii")
    return folder / ONNX_FILE


def _folder(files: ModelFiles) -> Path:
    key = hashlib.sha256(f"{GRAPH_VERSION} {files.fingerprint}".encode()).hexdigest()
    return cache_folder() / "onnx" / f"{files.model.id}-{key[:16]}"


def _intact(folder: Path) -> bool:
    if not (folder / DIGESTS).exists():
        return False
    for line in (folder / DIGESTS).read_text(encoding="ascii").splitlines():
        digest, name = line.split("  ", 1)
        if not (folder / name).exists() or sha256_of(folder / name) != digest:
            return False
    return True


if __name__ == "__main__":
    given = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    print(build(model_files(catalogue_model(sys.argv[1]), given)))
