"""Elasticsearch from its minimal distribution: one node, without security, on loopback.

The distribution has no analyzers of languages, and their plugins are not in a package repository. A plugin of our own
(`analysis_plugin/`) adds `cjk`, `kuromoji` and `nori` from Lucene.
"""

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import ClassVar

from headrace_local.downloads import cached, fetch_with_maven
from headrace_local.errors import StackError
from headrace_local.ports import HOST
from headrace_local.prerequisites import JAVA, java_home
from headrace_local.server import Command, base_environment
from headrace_local.system_user import unprivileged

VERSION = "8.19.21"
PLUGIN_VERSION = 1
"""Of `analysis_plugin/`: a new number makes a new directory in the cache."""
HEAP = "-Xms256m -Xmx256m"
OWN_DIRECTORIES = ("config", "data", "logs", "tmp")


@dataclass(frozen=True)
class Elasticsearch:
    name: str
    home: Path
    ports: Mapping[str, int]
    port_names: ClassVar[tuple[str, ...]] = ("http", "transport")
    refuses_root: ClassVar[bool] = True

    def install(self) -> None:
        java_home()
        self._programs()

    def prepare(self) -> None:
        """Copy the configuration at each start: Elasticsearch changes it, and an earlier copy may be incomplete."""
        config = self.home / "config"
        shutil.rmtree(config, ignore_errors=True)
        shutil.copytree(self._programs() / "config", config)
        options = config / "jvm.options"
        options.write_text(_jvm_options(options.read_text(), self.home))
        user = unprivileged()
        for name in OWN_DIRECTORIES:
            (self.home / name).mkdir(mode=0o700, exist_ok=True)
            if user is not None:
                user.owns(self.home / name)

    def command(self) -> Command:
        environment = base_environment(self.home) | {
            "ES_JAVA_HOME": str(java_home()),
            "ES_PATH_CONF": str(self.home / "config"),
            "ES_TMPDIR": str(self.home / "tmp"),
            "ES_JAVA_OPTS": os.environ.get("ES_JAVA_OPTS", HEAP),
        }
        settings = {
            "path.data": self.home / "data",
            "path.logs": self.home / "logs",
            "http.host": HOST,
            "http.port": self.ports["http"],
            "transport.host": HOST,
            "transport.port": self.ports["transport"],
            "discovery.type": "single-node",
            "xpack.security.enabled": "false",
            # On a full disk Elasticsearch would otherwise make every index read-only.
            "cluster.routing.allocation.disk.threshold_enabled": "false",
        }
        argv = [
            str(self._programs() / "bin" / "elasticsearch"),
            *(f"-E{key}={value}" for key, value in settings.items()),
        ]
        return Command(argv, environment, unprivileged())

    def is_ready(self) -> bool:
        """Ask for the health: this distribution does not serve `GET /`."""
        try:
            with urllib.request.urlopen(f"{self._url}/_cluster/health", timeout=2) as answer:  # noqa: S310
                return json.load(answer)["status"] in {"green", "yellow"}
        except (OSError, ValueError):
            return False

    def settings(self) -> Mapping[str, str]:
        return {"HEADRACE_ELASTICSEARCH__URL": self._url}

    @property
    def _url(self) -> str:
        return f"http://{HOST}:{self.ports['http']}"

    def _programs(self) -> Path:
        return cached(f"elasticsearch-{VERSION}-analysis-{PLUGIN_VERSION}", _install)


def _install(into: Path) -> None:
    _unpack(into)
    _add_analyzers(into)


def _add_analyzers(programs: Path) -> None:
    plugin = programs / "plugins" / "headrace-analysis"
    plugin.mkdir(mode=0o755)
    fetch_with_maven("analysis", plugin)
    with as_file(files("headrace_local") / "analysis_plugin") as sources:
        shutil.copy(sources / "plugin-descriptor.properties", plugin)
        classes = programs / "classes"
        libraries = [str(jar) for folder in (programs / "lib", plugin) for jar in sorted(folder.glob("*.jar"))]
        java = java_home() / "bin"
        options = ("--release", str(JAVA), "-cp", os.pathsep.join(libraries), "-d", classes)
        _run(java / "javac", *options, sources / "LanguageAnalysis.java")
    _run(java / "jar", "--create", "--file", plugin / "headrace-analysis.jar", "-C", classes, ".")
    shutil.rmtree(classes)
    for file in plugin.iterdir():
        file.chmod(0o644)


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StackError(f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[:300]}")


def _unpack(into: Path) -> None:
    archive_dir = into / "archive"
    archive_dir.mkdir()
    fetch_with_maven("elasticsearch", archive_dir)
    with zipfile.ZipFile(next(archive_dir.iterdir())) as archive:
        for member in archive.infolist():
            extracted = Path(archive.extract(member, into))
            mode = member.external_attr >> 16
            extracted.chmod((mode & 0o777) | 0o044 | (0o111 if member.is_dir() else 0))
    shutil.rmtree(archive_dir)
    top = into / f"elasticsearch-{VERSION}"
    for child in list(top.iterdir()):
        child.rename(into / child.name)
    top.rmdir()


def _jvm_options(shipped: str, home: Path) -> str:
    """The shipped options without the garbage collection log, and with crash files in `home`.

    Their paths are relative to the program's directory, which the servers' user cannot write.
    """
    kept = [line for line in shipped.splitlines() if ":file=gc.log" not in line and "-XX:ErrorFile" not in line]
    return "\n".join([*kept, f"-XX:ErrorFile={home}/logs/hs_err_pid%p.log", f"-XX:HeapDumpPath={home}/logs", ""])
