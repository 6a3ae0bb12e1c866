"""Runs every test: first those that may run side by side, then those that must run alone.

    python tests/suite.py [--long]

Prints one total and the slowest tests of both parts. The exit status is 1 if a test of either part failed, if a part
did not run to its end, or if a test left a server running. The results are in .pytest_cache/suite as JUnit XML.
"""

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

import psutil

GROUPS = 3
"""Processes of the first part. Each has its own servers; tests of one file run in one process."""
PARTS = {"side-by-side": ["-n", str(GROUPS), "--dist", "loadfile", "--no-loadscope-reorder"], "alone": []}
SLOWEST = 15
RESULTS = Path(".pytest_cache/suite")


def main() -> int:
    """Runs both parts, also if the first fails. The exit status."""
    marks = "" if "--long" in sys.argv[1:] else " and not long"
    began = time.monotonic()
    failed = []
    with tempfile.TemporaryDirectory(prefix="headrace-tests-") as directory:
        for part, options in PARTS.items():
            chosen = ("alone" if part == "alone" else "not alone") + marks
            data = Path(directory) / part
            command = [sys.executable, "-m", "pytest", "-m", chosen, *options, f"--basetemp={data}"]
            RESULTS.mkdir(parents=True, exist_ok=True)
            results = RESULTS / f"{part}.xml"
            results.unlink(missing_ok=True)
            if subprocess.run([*command, f"--junitxml={results}"], check=False).returncode != 0:
                failed.append(part)
            failed += [f"{program} of {part} was left running" for program in _left_servers(data)]
    _print_results(time.monotonic() - began, failed)
    return 1 if failed else 0


def _left_servers(data: Path) -> Iterator[str]:
    """Kills the processes that tests have left running on data below this directory. The name of each program."""
    for process in psutil.process_iter(["name", "cmdline"]):
        if str(data) in " ".join(process.info["cmdline"] or ()):
            for one in [*process.children(recursive=True), process]:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            yield process.info["name"]


def _print_results(seconds: float, failed: list[str]) -> None:
    results = [case for part in PARTS for case in _cases(RESULTS / f"{part}.xml")]
    print(f"\n===== the slowest {SLOWEST} tests =====")
    for taken, name, _ in sorted(results, reverse=True)[:SLOWEST]:
        print(f"{taken:7.1f} s  {name}")
    counts = Counter(outcome for _, _, outcome in results)
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    minutes, rest = divmod(round(seconds), 60)
    print(f"\n===== {len(results)} tests in {minutes} min {rest} s: {outcomes} =====")
    print("\n".join(f"FAILED: {what}" for what in failed) or "All parts passed.")


def _cases(results: Path) -> Iterator[tuple[float, str, str]]:
    """Each test's seconds, fixtures included, its name and its outcome; none where the part did not end."""
    if not results.exists():
        return
    for case in ElementTree.parse(results).iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        yield float(case.get("time", 0)), f"{case.get('classname')}::{case.get('name')}", outcome


if __name__ == "__main__":
    sys.exit(main())
