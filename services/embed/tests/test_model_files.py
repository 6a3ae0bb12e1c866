"""The files of the model on this machine are complete and have the pinned digests, or they are refused."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from headrace_embed.model_files import (
    CONFIG,
    TOKENIZER,
    WEIGHTS,
    ModelFiles,
    ModelFilesMissing,
    WrongDigest,
    built_once,
    model_files,
)
from headrace_embed.onnx_file import onnx_file
from headrace_worker.model_catalogue import catalogue_model


@pytest.fixture
def copied(tmp_path: Path, files: ModelFiles) -> Path:
    """A folder with the model's files, the weights as a link."""
    folder = tmp_path / "model"
    shutil.copytree(files.folder, folder, ignore=shutil.ignore_patterns(WEIGHTS))
    (folder / WEIGHTS).symlink_to(files.folder / WEIGHTS)
    return folder


@pytest.mark.parametrize("name", [CONFIG, TOKENIZER])
def test_other_files_than_the_catalogue_pins_are_refused(copied: Path, files: ModelFiles, name: str) -> None:
    assert model_files(files.model, copied).fingerprint == files.fingerprint
    (copied / name).write_bytes((copied / name).read_bytes() + b" ")
    with pytest.raises(WrongDigest, match=rf"{name} of minilm-l6-v2: its SHA-256 is .* the catalogue pins"):
        model_files(files.model, copied)


def test_other_weights_than_the_catalogue_pins_are_refused(copied: Path, files: ModelFiles) -> None:
    content = bytearray((files.folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (copied / WEIGHTS).unlink()
    (copied / WEIGHTS).write_bytes(content)
    with pytest.raises(WrongDigest, match=f"{WEIGHTS} of minilm-l6-v2"):
        model_files(files.model, copied)


def test_a_folder_without_the_weights_is_refused_with_the_name_of_the_file(copied: Path, files: ModelFiles) -> None:
    (copied / WEIGHTS).unlink()
    with pytest.raises(ModelFilesMissing, match=WEIGHTS):
        model_files(files.model, copied)


def test_the_error_of_a_model_that_cannot_be_fetched_names_the_setting_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ModelFilesMissing, match="HEADRACE_MODEL_DIR"):
        model_files(catalogue_model("multilingual-e5-small"))
    assert not (tmp_path / "headrace" / "models" / "multilingual-e5-small").exists()


def test_other_weights_under_an_unpinned_id_have_another_fingerprint(copied: Path, files: ModelFiles) -> None:
    unpinned = replace(files.model, sha256={})
    before = model_files(unpinned, copied).fingerprint
    (copied / TOKENIZER).write_bytes((copied / TOKENIZER).read_bytes() + b" ")
    assert model_files(unpinned, copied).fingerprint != before


def test_two_starts_with_an_empty_cache_fetch_the_whole_model_once(tmp_path: Path, files: ModelFiles) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "headrace_embed.model_files"]
    starts = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    folders = {start.communicate(timeout=300)[0].strip() for start in starts}
    assert [start.returncode for start in starts] == [0, 0]
    assert folders == {str(tmp_path / "headrace" / "models" / "minilm-l6-v2")}
    assert model_files(files.model, Path(folders.pop())).sha256 == files.sha256


def test_one_of_several_builders_builds_and_all_find_the_whole_result(tmp_path: Path) -> None:
    built: list[int] = []

    def build(number: int) -> str:
        with built_once(tmp_path / "target") as empty:
            if empty is not None:
                assert not (tmp_path / "target").exists()
                (empty / "file").write_text("whole")
                built.append(number)
        return (tmp_path / "target" / "file").read_text()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(build, range(8))) == ["whole"] * 8
    assert len(built) == 1


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with built_once(tmp_path / "target") as empty:
            assert empty is not None
            (empty / "half").write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == [".target.lock"]


def test_a_damaged_encoder_is_built_again(
    tmp_path: Path, files: ModelFiles, encoder_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = onnx_file(files)
    assert first.read_bytes() == encoder_file.read_bytes()
    first.write_bytes(first.read_bytes()[:1000])
    assert onnx_file(files).read_bytes() == encoder_file.read_bytes()
