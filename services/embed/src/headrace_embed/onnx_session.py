"""The one module that imports onnxruntime, because its telemetry must be off before the library is loaded.

From release 1.31 on, onnxruntime for Linux writes a device id and a database of events below the user's cache folder,
starts a thread, and sends the events to its maker. `ORT_DISABLE_TELEMETRY` in the environment is the switch, which the
library reads once. A test looks for other imports.
"""

import os
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # also for the processes that this process starts

import onnxruntime


def open_session(file: Path, threads: int = 0) -> onnxruntime.InferenceSession:
    """The model of this ONNX file on the CPU, on `threads` cores (0: all cores)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin while idle would take the cores from other workers and servers on this machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
