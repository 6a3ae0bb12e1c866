"""The results of a seed, kept on disk so that a run can be continued."""

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from histories.run import Result

ROOT = Path(__file__).parents[2]


class Results:
    """A line of JSON for each group of histories. Results of other code count for nothing and are removed.

    `shrunk`: how many failures of this run have been made smaller.
    """

    def __init__(self, folder: Path, seed: int, *, fresh: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._seed = seed
        self._file = folder / f"seed-{seed}-{code_digest()}.jsonl"
        for other in folder.glob(f"seed-{seed}-*.jsonl"):
            if fresh or other != self._file:
                other.unlink()
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        self._groups: list[dict[str, Any]] = [json.loads(line) for line in lines]
        self._began = time.monotonic()
        self.shrunk = 0

    @property
    def failed(self) -> int:
        """The number of histories that failed."""
        return sum(len(group["failed"]) for group in self._groups)

    def has(self, numbers: range) -> bool:
        """Whether these histories have been run."""
        return any(group["first"] <= numbers.start and numbers.stop <= group["end"] for group in self._groups)

    def add(self, numbers: range, result: Result, killed: Sequence[str]) -> None:
        """Keeps the result of a group."""
        failed = {str(numbers[place]): said for place, said in result.failed.items()}
        group = {"first": numbers.start, "end": numbers.stop, "records": result.records, "failed": failed}
        self._groups.append(group | {"killed": list(killed), "seconds": round(time.monotonic() - self._began, 1)})
        self._began = time.monotonic()
        with self._file.open("a") as file:
            file.write(json.dumps(self._groups[-1]) + "\n")

    def summary(self) -> str:
        """One line about all groups; empty without any."""
        if not self._groups:
            return ""
        histories = sum(group["end"] - group["first"] for group in self._groups)
        records = sum(group["records"] for group in self._groups)
        killed = sum(len(group["killed"]) for group in self._groups)
        seconds = sum(group["seconds"] for group in self._groups)
        return (
            f"seed {self._seed}: {histories:,} histories, {records:,} records, {killed} stores killed, "
            f"{self.failed} failed, {seconds:,.0f} s"
        )


def code_digest() -> str:
    """Stands for the product's code and that of the histories."""
    digest = hashlib.sha256()
    files = [
        file
        for folder in ("schemas", "shared/*", "services/*", "infra/local")
        for file in ROOT.glob(f"{folder}/src/**/*.py")
    ]
    for file in sorted([*files, *Path(__file__).parent.glob("*.py")]):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
