"""The cache contains only complete directories, after concurrent and interrupted downloads too."""

import threading
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from headrace_local import downloads
from headrace_local.downloads import cached, fetch_with_maven
from headrace_local.errors import StackError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(downloads, "SHARED", tmp_path / "shared")
    return downloads.cache_dir()


def test_two_at_once_fill_the_cache_once_and_both_get_all_of_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fills: list[Path] = []
    filling, second_waits = threading.Event(), threading.Event()

    class Lock(FileLock):
        def acquire(self, *args: Any, **options: Any) -> Any:
            if filling.is_set():
                second_waits.set()
            return super().acquire(*args, **options)

    monkeypatch.setattr(downloads, "FileLock", Lock)

    def fill(into: Path) -> None:
        fills.append(into)
        (into / "half").touch()
        filling.set()
        assert second_waits.wait(timeout=60)
        (into / "whole").touch()

    found: list[list[str]] = []
    users = [
        threading.Thread(target=lambda: found.append(sorted(path.name for path in cached("tool", fill).iterdir())))
        for _ in range(2)
    ]
    users[0].start()
    assert filling.wait(timeout=60)
    users[1].start()
    for user in users:
        user.join(timeout=60)
    assert len(fills) == 1
    assert found == [["half", "whole"]] * 2


def test_an_interrupted_fill_leaves_nothing_and_the_next_succeeds(cache: Path) -> None:
    def interrupted(into: Path) -> None:
        (into / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached("tool", interrupted)
    assert [path.name for path in cache.iterdir() if path.is_dir()] == []
    assert (cached("tool", lambda into: (into / "whole").touch()) / "whole").exists()


MAVEN = """#!/bin/sh
for argument; do case $argument in -DoutputDirectory=*) into=${argument#*=};; esac; done
%s
"""


def maven_that(does: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "mvn"
    program.parent.mkdir()
    program.write_text(MAVEN % does)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


def test_files_with_other_content_than_was_tested_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maven_that('echo tampered > "$into/elasticsearch-8.19.21.zip"', tmp_path, monkeypatch)
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(StackError, match=r"other files than expected: elasticsearch-8\.19\.21\.zip"):
        fetch_with_maven("elasticsearch", into)


def test_a_failed_download_is_reported_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maven_that("echo '[ERROR] Could not transfer artifact'; echo more; exit 1", tmp_path, monkeypatch)
    with pytest.raises(StackError, match="Could not transfer artifact") as failed:
        fetch_with_maven("kafka", tmp_path)
    assert "\n" not in str(failed.value)
