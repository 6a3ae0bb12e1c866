"""onnxruntime is loaded without its telemetry: it writes no file of its own, starts no thread and opens no socket."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
IMPORTS = re.compile(r"^\s*(?:import|from)\s+onnxruntime\b", re.MULTILINE)
SWITCH = re.compile(r'^os\.environ\["ORT_DISABLE_TELEMETRY"\] = "1"', re.MULTILINE)

# With telemetry the library opens its files and starts its thread when it is imported, and looks its collector up when
# the process ends. The process can see the first two itself; strace, where it is installed, sees the last. The variable
# in the environment asks for telemetry, so that only the product's own switch can turn it off.
PROGRAM = """
import os, sys, time
from pathlib import Path
from headrace_embed.onnx_session import open_session

session = open_session(Path(sys.argv[1]), threads=1)
seen = set()
until = time.monotonic() + 1
while time.monotonic() < until:
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            continue
        if target.startswith("socket:") or target.startswith(os.environ["HOME"]):
            seen.add(target)
print(len(os.listdir("/proc/self/task")), sorted(seen))
"""


def test_no_file_no_thread_and_no_socket_of_its_telemetry_appears(tmp_path: Path, encoder_file: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment |= {"ORT_DISABLE_TELEMETRY": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROGRAM, str(encoder_file)]
    sockets = tmp_path.with_suffix(".strace")
    if shutil.which("strace"):
        command = ["strace", "-f", "-qq", "-e", "trace=socket,connect", "-o", str(sockets), *command]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "1 []", done.stdout
    assert list(tmp_path.rglob("*")) == []
    assert "socket(" not in (sockets.read_text() if sockets.exists() else "")


def test_only_modules_that_switch_its_telemetry_off_import_onnxruntime() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py", "*.sh"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    texts = {name: (ROOT / name).read_text(encoding="utf-8") for name in listed.stdout.split()}
    importing = {name: IMPORTS.search(text) for name, text in texts.items()}
    unswitched = [
        name
        for name, match in importing.items()
        if match is not None and not SWITCH.search(texts[name][: match.start()])
    ]
    assert unswitched == [], "import headrace_embed.onnx_session instead"
