"""Every line a worker logs is one JSON object on standard error."""

import json
import subprocess
import sys
from typing import Any

PROGRAM = """
import logging
import structlog
from headrace_runtime import logs

logs.configure("qdrant", {level!r})
log = structlog.get_logger("headrace_runtime.x")
log.info("batch_settled", records=3, key="가")
log.debug("quiet")
try:
    raise ValueError("broken")
except ValueError as error:
    log.error("worker_failed", exc_info=error)
logging.getLogger("aiokafka.consumer").info("library chatter")
logging.getLogger("aiokafka.consumer").warning("of %s", "a library")
"""


def lines(level: str) -> list[dict[str, Any]]:
    """What the program logs, in a process of its own: logging is configured for a whole process."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(level=level)], capture_output=True, check=True, text=True, timeout=60
    )
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_every_line_is_json_with_worker_time_and_level() -> None:
    first, failed, library = lines("info")
    assert (first["event"], first["records"], first["key"]) == ("batch_settled", 3, "가")
    assert "ValueError: broken" in failed["exception"]
    assert (library["event"], library["level"]) == ("of a library", "warning")
    for line in (first, failed, library):
        assert line["worker"] == "qdrant"
        assert {"timestamp", "level"} <= line.keys()


def test_the_level_is_the_least_severe_that_is_logged() -> None:
    assert [line["event"] for line in lines("error")] == ["worker_failed"]
    assert "quiet" in [line["event"] for line in lines("debug")]
