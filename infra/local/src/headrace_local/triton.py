"""Triton Inference Server from the package nvidia-pytriton, in a virtual environment of its own."""

import os
import shutil
import subprocess
import sys
import sysconfig
import urllib.request
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import ClassVar

from headrace_local.downloads import cached
from headrace_local.errors import StackError
from headrace_local.ports import HOST
from headrace_local.server import Command, base_environment

VERSION = "0.7.0"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class Triton:
    """Serves a model repository whose models use the python backend, the only one in the package.

    Its Python has onnxruntime and NumPy 1, which the backend was built for.
    """

    name: str
    home: Path
    ports: Mapping[str, int]
    repository: Path
    port_names: ClassVar[tuple[str, ...]] = ("grpc", "http", "metrics")
    refuses_root: ClassVar[bool] = False

    def install(self) -> None:
        _environment()

    def prepare(self) -> None:
        if not self.repository.is_dir():
            raise StackError(f"triton: no model repository at {self.repository}")
        for left_by_a_kill in Path("/dev/shm").glob(f"{self._shared_memory}*"):  # noqa: S108
            left_by_a_kill.unlink()

    def command(self) -> Command:
        root = _environment()
        site = _site_packages(root)
        # If Python is built with a shared library, the backend's process has to find that library.
        libraries = [str(site / "nvidia_pytriton.libs"), sysconfig.get_config_var("LIBDIR")]
        environment = base_environment(self.home) | {
            "PATH": f"{root / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PYTHONPATH": str(site),
            "ORT_DISABLE_TELEMETRY": "1",
            "LD_LIBRARY_PATH": os.pathsep.join(path for path in libraries if path),
        }
        options = {
            "model-repository": self.repository,
            "backend-directory": root / "backends",
            "http-address": HOST,
            "http-port": self.ports["http"],
            "grpc-address": HOST,
            "grpc-port": self.ports["grpc"],
            "metrics-address": HOST,
            "metrics-port": self.ports["metrics"],
            "allow-gpu-metrics": "false",
            "backend-config": f"python,shm-region-prefix-name={self._shared_memory}",
        }
        program = site / "pytriton" / "tritonserver" / "bin" / "tritonserver"
        return Command([str(program), *(f"--{name}={value}" for name, value in options.items())], environment)

    def is_ready(self) -> bool:
        url = f"http://{HOST}:{self.ports['http']}/v2/health/ready"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def settings(self) -> Mapping[str, str]:
        return {"HEADRACE_TRITON__URL": f"{HOST}:{self.ports['grpc']}"}

    @property
    def _shared_memory(self) -> str:
        return f"headrace-triton-{self.ports['grpc']}-"


def _environment() -> Path:
    return cached(f"triton-{VERSION}-python-{PYTHON}", _install)


def _install(into: Path) -> None:
    venv.create(into, with_pip=True)
    with as_file(files("headrace_local") / "triton.txt") as requirements:
        pip = [str(into / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        options = ["--no-deps", "--require-hashes", "--only-binary=:all:", "-r", str(requirements)]
        done = subprocess.run([*pip, *options], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1:]
        raise StackError(f"triton: installing its programs for Python {PYTHON} failed: {' '.join(reason)}")
    _assemble_backend(_site_packages(into) / "pytriton" / "tritonserver", into / "backends" / "python")


def _assemble_backend(programs: Path, backend: Path) -> None:
    """Copy the backend and the stub of this Python, which the package keeps apart, into one directory."""
    shutil.copytree(programs / "backends" / "python", backend)
    stub = backend / "triton_python_backend_stub"
    shutil.copy(programs / "python_backend_stubs" / PYTHON / stub.name, stub)
    stub.chmod(0o755)


def _site_packages(root: Path) -> Path:
    return root / "lib" / f"python{PYTHON}" / "site-packages"
