"""Prometheus: scrapes the workers of this machine and evaluates the project's rules.

No package registry that this project uses has the program, but Debian and Ubuntu have it.
"""

import json
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from headrace_local.downloads import cached
from headrace_local.errors import StackError
from headrace_local.ports import HOST
from headrace_local.server import Command, base_environment

SCRAPE_EVERY = "5s"
CONSOLE, SUPERVISOR = f"{HOST}:8484", f"{HOST}:8485"
"""The console's usual address, and the one for `HEADRACE_HTTP__SUPERVISOR_PORT`; Kafka does not know them."""
RETENTION = {"storage.tsdb.retention.time": "7d", "storage.tsdb.retention.size": "1GB"}
ELSEWHERE = "put prometheus and promtool on the PATH (`brew install prometheus`, or https://prometheus.io/download)"
ASSETS = Path("usr/share/prometheus/web")


@dataclass(frozen=True)
class Prometheus:
    """`rules`: the folder with the rules. `targets`: a folder with files of targets, which may change at any time:
    https://prometheus.io/docs/prometheus/latest/configuration/configuration/#file_sd_config
    """

    name: str
    home: Path
    ports: Mapping[str, int]
    rules: Path
    targets: Path
    port_names: ClassVar[tuple[str, ...]] = ("http",)
    refuses_root: ClassVar[bool] = False

    def install(self) -> None:
        program("prometheus")

    def prepare(self) -> None:
        if not self.rules.is_dir():
            raise StackError(f"prometheus: no rules in {self.rules}; `--observe` needs a checkout of the project")
        self.targets.mkdir(exist_ok=True)
        # JSON is YAML too.
        self._config.write_text(json.dumps(self._configuration(), indent=2))

    def command(self) -> Command:
        started = program("prometheus")
        options = {
            "config.file": self._config,
            "storage.tsdb.path": self.home / "data",
            "web.listen-address": f"{HOST}:{self.ports['http']}",
            "enable-feature": "exemplar-storage",
        } | RETENTION
        if (assets := started.parents[2] / ASSETS).is_dir():
            options["web.local-assets"] = f"{assets}/"
        return Command(
            [str(started), *(f"--{name}={value}" for name, value in options.items())], base_environment(self.home)
        )

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.ports['http']}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def settings(self) -> Mapping[str, str]:
        return {}

    @property
    def _config(self) -> Path:
        return self.home / "prometheus.yml"

    def _configuration(self) -> dict[str, object]:
        """Samples keep the label `worker` that the process itself sets."""
        files = {"files": [str(self.targets / "*.json")], "refresh_interval": "5s"}
        return {
            "global": {"scrape_interval": SCRAPE_EVERY, "evaluation_interval": SCRAPE_EVERY},
            "rule_files": [str(self.rules / "*.yml")],
            "scrape_configs": [
                {"job_name": "headrace", "honor_labels": True, "file_sd_configs": [files]},
                *(
                    {"job_name": job, "honor_labels": True, "static_configs": [{"targets": [target]}]}
                    for job, target in (("console", CONSOLE), ("supervisor", SUPERVISOR))
                ),
            ],
        }


def program(name: str) -> Path:
    """`prometheus` or `promtool`: the one on the PATH, or that of the distribution's package, in the user's cache.

    Raises
    ------
    StackError
        If there is neither.
    """
    if found := shutil.which(name):
        return Path(found).resolve()
    return cached("prometheus", _unpack) / "usr" / "bin" / name


def _unpack(into: Path) -> None:
    """Unpack the package without installing it: its installation needs root and starts a system service."""
    if not all(map(shutil.which, ("apt-get", "dpkg-deb"))):
        raise StackError(f"no prometheus found: {ELSEWHERE}")
    with tempfile.TemporaryDirectory() as scratch:
        # apt checks the signature of the distribution.
        done = _run(["apt-get", "download", "-qq", "prometheus"], scratch)
        if done.returncode != 0:
            _run(["apt-get", "update", "-qq"], scratch)
            done = _run(["apt-get", "download", "-qq", "prometheus"], scratch)
        packages = list(Path(scratch).glob("prometheus_*.deb"))
        if done.returncode != 0 or len(packages) != 1:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise StackError(
                f"prometheus: `apt-get download prometheus` failed: {reason}; run `sudo apt-get update`, or {ELSEWHERE}"
            )
        unpacked = _run(["dpkg-deb", "-x", str(packages[0]), str(into)], scratch)
        if unpacked.returncode != 0:
            raise StackError(f"prometheus: its package cannot be unpacked: {unpacked.stderr.strip()[:300]}")


def _run(command: list[str], directory: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
