"""A record that is itself wrong fails in every worker that reads it: one cause, one decision for all its letters."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from harness.installation import Installation, in_memory, open_installation
from harness.live_workers import running
from harness.memory import MemoryStage
from harness.records import eventually, product, publish
from harness.servers import Servers

from headrace_letters.selection import EVERYTHING, Selection
from headrace_worker.worker import load_worker

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]

READERS = ("embed", "elasticsearch")
"""The workers that read what the catalogue publishes."""
BAD = 30
REFUSED = "refused"
"""The id of a valid product that the store of one worker refuses."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installation(servers: Servers) -> AsyncIterator[Installation]:
    """BAD products with a price that is no number, and one product that only Elasticsearch refuses."""
    async with open_installation(servers, *READERS) as opened:
        stages = {name: MemoryStage() for name in READERS}
        stages["elasticsearch"].reject = {opened.prefix + REFUSED}
        source = opened.settings.topics.source("product")
        bad = [product(f"{opened.prefix}{number}", 1) | {"price": f"{number} EUR"} for number in range(BAD)]
        await publish(opened.settings, source, [*bad, product(opened.prefix + REFUSED, 1)])
        for name in READERS:
            worker = load_worker(name)
            settings = opened.settings_of(worker)
            settings.breaker.allow_rejects = True
            async with running(in_memory(worker, stages[name]), settings):
                await eventually(lambda name=name: _has_letters(opened, name))  # type: ignore[misc]
        await opened.indexed()
        yield opened


async def _has_letters(installation: Installation, name: str) -> bool:
    return len(await installation.letters(name)) == BAD + (name == "elasticsearch")


async def dead(installation: Installation, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    line = [sys.executable, "-m", "headrace_cli", "dead", *arguments]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            line, env=environment | installation.environment, capture_output=True, text=True, timeout=120, check=False
        )

    return await asyncio.to_thread(run)


async def statuses(installation: Installation, **chosen: Any) -> dict[str, int]:
    return await installation.index.count(Selection(**chosen))  # type: ignore[return-value]


async def test_a_wrong_record_is_one_cause_whatever_worker_saw_it(installation: Installation) -> None:
    groups = json.loads((await dead(installation, "groups", "--json")).stdout)
    assert [(group["reason"], group["workers"], group["records"], group["count"]) for group in groups] == [
        ("invalid", {"elasticsearch": BAD, "embed": BAD}, BAD, 2 * BAD),
        ("refused_by_store", {"elasticsearch": 1}, 1, 1),
    ]


async def test_discarding_says_what_it_touches_and_takes_the_letters_of_the_other_worker(
    installation: Installation,
) -> None:
    chosen = ("discard", "--worker", "embed", "--failed-for", "invalid", "--reason", "test data")
    would = json.loads((await dead(installation, *chosen, "--dry-run", "--json")).stdout)
    (group,) = [one for one in await installation.index.groups() if one.reason == "invalid"]
    cause = {"fingerprint": group.fingerprint, "reason": "invalid"}
    assert would["touched"] == [
        cause | {"worker": "elasticsearch", "letters": 0, "twins": BAD},
        cause | {"worker": "embed", "letters": BAD, "twins": 0},
    ]
    assert (would["discarded"], would["dry_run"]) == (0, True)
    assert await installation.index.count(EVERYTHING) == {"waiting": 2 * BAD + 1}

    done = await dead(installation, *chosen)
    assert f"{2 * BAD} letters discarded" in done.stdout
    assert "not chosen: of the same source records" in done.stderr
    assert await statuses(installation, reason="invalid") == {"discarded": 2 * BAD}
    assert await statuses(installation, reason="refused_by_store") == {"waiting": 1}
    audit = json.loads((await dead(installation, "audit", "--json")).stdout)
    assert [(row["name"], row["count"], row["outcome"]) for row in audit] == [("discard", 2 * BAD, "discarded")]
