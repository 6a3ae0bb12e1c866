"""python -m headrace_local.otlp_receiver DIRECTORY HTTP_PORT GRPC_PORT"""

import sys
from pathlib import Path

import uvicorn
from filelock import FileLock, Timeout

from headrace_local.otlp_receiver.app import application
from headrace_local.otlp_receiver.spans import SpanFile
from headrace_local.ports import HOST


def main() -> None:
    """Receive on two loopback ports until a signal."""
    place, http_port, grpc_port = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    place.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(place / ".lock", timeout=1):
            app = application(SpanFile(place / "spans.sqlite"), f"{HOST}:{grpc_port}")
            uvicorn.run(app, host=HOST, port=http_port, log_level="warning")
    except Timeout:
        sys.exit(f"another process receives into {place}")


if __name__ == "__main__":
    main()
