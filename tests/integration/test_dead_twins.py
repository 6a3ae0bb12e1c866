"""A record that is itself wrong fails in every worker that reads it: one cause, one decision for all its letters."""

import asyncio
import json
import os
import pty
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from harness.forked_command import headrace, inherited
from harness.installation import Installation, in_memory, open_installation
from harness.letters import letter
from harness.live_workers import running
from harness.memory import MemoryStage
from harness.records import eventually, product, publish
from harness.servers import Servers

from headrace_letters.letter import Letter
from headrace_letters.selection import EVERYTHING, Selection
from headrace_runtime.decoder import Position
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
    return await asyncio.to_thread(headrace, "dead", *arguments, environment=installation.environment)


async def asked(installation: Installation, *arguments: str, before_yes: Callable[[], Awaitable[None]]) -> str:
    """Runs `headrace dead …` in a terminal and answers its question with yes. Returns its standard output."""
    terminal, of_command = pty.openpty()
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headrace_cli", "dead", *arguments,
        stdin=of_command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=inherited() | installation.environment,
    )  # fmt: skip
    os.close(of_command)
    try:
        assert started.stderr is not None
        await asyncio.wait_for(started.stderr.readuntil(b"[y/N]"), 60)
        await before_yes()
        os.write(terminal, b"y\n")
        out, _ = await asyncio.wait_for(started.communicate(), 60)
        return out.decode()
    finally:
        os.close(terminal)


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


async def test_a_letter_that_arrives_while_the_command_asks_stays_as_it_is(installation: Installation) -> None:
    index, chosen = installation.index, Selection(worker="embed2")
    old = datetime(2026, 3, 1, tzinfo=UTC)

    def made(number: int, **given: Any) -> Letter:
        usual = {"at": Position("dead.embed2", 0, number), "failed_at": old}
        return letter(f"embed2:{number}", worker="embed2", failed=None, **usual | given)

    async def arrive() -> None:
        again = made(1, attempts=2, at=Position("dead.embed2", 0, 9))
        await index.put_letters([again, made(2), made(3, failed_at=old.replace(year=2025))])

    await index.put_letters([made(0), made(1)])
    said = await asked(installation, "park", "--worker", "embed2", before_yes=arrive)
    assert "1 letters parked" in said, "of the two that were counted, one has failed again"
    assert await index.count(chosen) == {"parked": 1, "waiting": 3}
    assert (await index.get(["embed2:0"]))["embed2:0"].status == "parked"
