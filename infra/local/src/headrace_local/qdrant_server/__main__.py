"""python -m headrace_local.qdrant_server DIRECTORY PORT"""

import sys
from pathlib import Path

import uvicorn
from filelock import FileLock, Timeout

from headrace_local.ports import HOST
from headrace_local.qdrant_server.app import application
from headrace_local.qdrant_server.store import Store


def main() -> None:
    """Serve one directory on one loopback port until a signal. The engine itself does not lock its files."""
    place, port = Path(sys.argv[1]), int(sys.argv[2])
    place.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(place / ".lock", timeout=1):
            app = application(Store(place))
            uvicorn.run(app, host=HOST, port=port, loop="uvloop", http="httptools", log_level="warning")
    except Timeout:
        sys.exit(f"another process serves {place}")


if __name__ == "__main__":
    main()
