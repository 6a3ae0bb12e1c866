"""python -m dashboards, in infra/observability"""

import json
from collections.abc import Iterator
from pathlib import Path

from dashboards.overview import OVERVIEW
from dashboards.parts import EMBEDDING, LINKS, MESSAGE
from dashboards.worker import WORKER

FOLDER = Path(__file__).parents[1] / "grafana" / "dashboards"
DASHBOARDS = (OVERVIEW, WORKER, EMBEDDING, LINKS, MESSAGE)


def files() -> Iterator[tuple[Path, str]]:
    """The path and the content of each file."""
    for dashboard in DASHBOARDS:
        name = dashboard.uid.removeprefix("headrace-")
        yield FOLDER / f"{name}.json", json.dumps(dashboard.json(), indent=1) + "\n"


if __name__ == "__main__":
    for path, content in files():
        path.write_text(content, encoding="utf-8")
