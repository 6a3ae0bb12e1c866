"""Checks that the machine has a JDK and Maven, which the servers need."""

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from headrace_local.errors import StackError

JAVA = 17
INSTALL = {
    "apt-get": "apt-get install -y openjdk-17-jdk-headless maven",
    "dnf": "dnf install -y java-17-openjdk-devel maven",
    "brew": "brew install openjdk@17 maven",
}


def missing_prerequisites() -> list[str]:
    """One line for each missing program, with the command that installs it; empty if none is missing."""
    lines = []
    version = _java_version()
    if version is None:
        lines.append(f"no JDK found: a JDK {JAVA} or newer is needed; {_install()}")
    elif version < JAVA:
        lines.append(f"the JDK found is version {version}: {JAVA} or newer is needed; {_install()}")
    if shutil.which("mvn") is None:
        lines.append(f"no Maven (mvn) found: it downloads Kafka and Elasticsearch; {_install()}")
    return lines


@cache
def java_home() -> Path:
    """The JDK's directory: $JAVA_HOME, or the one that `java` on the path belongs to.

    Raises
    ------
    StackError
        If there is no JDK, only a runtime without its tools, or one too old.
    """
    if missing := [line for line in missing_prerequisites() if "JDK" in line]:
        raise StackError(missing[0])
    java = _java()
    assert java is not None
    return java.resolve().parent.parent


def _java() -> Path | None:
    if configured := os.environ.get("JAVA_HOME"):
        return Path(configured) / "bin" / "java"
    found = shutil.which("javac")
    return Path(found).resolve().with_name("java") if found else None


def _java_version() -> int | None:
    java = _java()
    if java is None or not java.exists():
        return None
    answer = subprocess.run([str(java), "-version"], capture_output=True, text=True, check=False)
    # "17.0.15" and, before Java 9, "1.8.0_402"
    found = re.search(r'version "(?:1\.)?(\d+)', answer.stderr)
    return int(found[1]) if found else None


def _install() -> str:
    for manager, command in INSTALL.items():
        if shutil.which(manager):
            return f"install with: {command}"
    return f"install a JDK {JAVA} or newer and Maven"
