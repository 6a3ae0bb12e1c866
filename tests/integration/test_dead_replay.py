"""Replays on a real broker with a stage in memory: which records it sends, how it counts answers, and when it stops."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from harness.installation import QUICK, WAITING, Installation, in_memory, open_installation
from harness.live_workers import running
from harness.memory import MemoryStage
from harness.otlp_receiver import otlp_receiver
from harness.records import eventually, product, publish, receipts
from harness.servers import Servers

from headrace_letters.replay import replay
from headrace_letters.selection import Selection
from headrace_runtime.publisher import Outgoing, Publisher
from headrace_schemas import headers
from headrace_worker.stage import Unavailable
from headrace_worker.worker import load_worker

pytestmark = pytest.mark.servers

NAME = "elasticsearch"
"""A worker that reads the source topics, as the stage in memory does."""


@pytest.fixture
async def installation(servers: Servers) -> AsyncIterator[Installation]:
    async with open_installation(servers, NAME) as opened:
        yield opened


class RejectingWorker:
    """The worker with a stage in memory that rejects every id in `stage.reject`."""

    def __init__(self, installation: Installation, **variables: str) -> None:
        self.stage = MemoryStage()
        worker = load_worker(NAME)
        self.settings = installation.settings_of(worker, **variables)
        self.settings.breaker.allow_rejects = True
        self.worker = in_memory(worker, self.stage)
        self._installation = installation

    async def fail(self, ids: list[str], version: int = 1) -> None:
        """Makes a dead letter for each id."""
        self.stage.reject |= set(ids)
        await publish(self.settings, self.settings.topics.source("product"), [product(id, version) for id in ids])
        async with running(self.worker, self.settings):
            await eventually(lambda: self._dead(len(ids)))

    async def _dead(self, count: int) -> bool:
        return len(await self._installation.letters(NAME)) >= count


def ids(count: int) -> list[str]:
    return [f"p{number}" for number in range(count)]


async def test_a_replay_sends_the_unchanged_record_to_the_worker_that_failed(installation: Installation) -> None:
    traced = [("traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"), ("binary", b"\xff\x00"), ("none", None)]
    rejecting = RejectingWorker(installation)
    rejecting.stage.reject = {"p0"}
    source = installation.settings.topics.source("product")
    await publish(installation.settings, source, [product("p0", 7)], headers=traced)
    async with running(rejecting.worker, rejecting.settings):
        await installation.answered(NAME, 1)
        (found,) = await installation.indexed()
        rejecting.stage.reject = set()
        progress = await installation.replayed()
    assert (progress.refusals, progress.published, progress.resolved) == ({}, 1, 1)
    (letter,) = await installation.letters(NAME)
    (sent,) = await installation.replays(NAME)
    assert (sent.key, sent.value) == (letter.key, letter.value)
    assert [pair for pair in traced if pair not in sent.headers] == []
    sent_headers = dict(sent.headers)
    assert sent_headers[headers.REPLAY_OF] == sent_headers[headers.DEAD_ID] == found.letter.id.encode()
    assert sent_headers[headers.DEAD_ATTEMPTS] == b"1"
    assert sent_headers[headers.PUBLISHED_AT] == found.letter.id.rpartition(":")[2].encode()
    assert headers.CONNECT_MESSAGE not in sent_headers
    assert headers.DEAD_REASON not in sent_headers
    assert rejecting.stage.versions() == {"p0": 7}
    (after,) = await installation.indexed(Selection())
    assert after.status == "resolved"


async def test_a_replay_continues_the_trace_of_its_letter_in_a_span_of_its_own(installation: Installation) -> None:
    with otlp_receiver() as receiver:
        installation.settings.telemetry.otlp_endpoint = receiver.url
        rejecting = RejectingWorker(installation, TELEMETRY__OTLP_ENDPOINT=receiver.url)
        rejecting.stage.reject = {"p0"}
        source = installation.settings.topics.source("product")
        start = ("traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01")
        await publish(installation.settings, source, [product("p0", 7)], headers=[start])
        async with running(rejecting.worker, rejecting.settings):
            await installation.answered(NAME, 1)
            await installation.indexed()
            rejecting.stage.reject = set()
            assert (await installation.replayed()).resolved == 1
        spans = receiver.of("a" * 32)
    parents = {span.id: span.name.replace(installation.prefix, "") for span in spans} | {"b" * 16: "the catalogue"}
    assert [(parents[span.id], parents[span.parent]) for span in spans if " " in span.name] == [
        ("process products", "the catalogue"),
        ("replay replay.elasticsearch", "process products"),
        ("process replay.elasticsearch", "replay replay.elasticsearch"),
    ]
    assert [span.error for span in spans if " " in span.name] == ["refused_by_store/memory/refused", None, None]


async def test_a_second_replay_of_the_same_selection_skips_finished_letters(installation: Installation) -> None:
    rejecting = RejectingWorker(installation)
    await rejecting.fail(ids(30))
    await installation.indexed()
    rejecting.stage.reject = set()
    async with running(rejecting.worker, rejecting.settings):
        first = await installation.replayed()
        second = await installation.replayed()
    assert first.resolved == 30
    assert (second.total, second.published) == (0, 0)
    assert len(await installation.replays(NAME)) == 30


async def test_a_letter_does_not_grow_with_its_failures_and_the_fifth_parks_it(installation: Installation) -> None:
    rejecting = RejectingWorker(installation)
    await rejecting.fail(["p0"])
    async with running(rejecting.worker, rejecting.settings):
        for attempt in range(2, 6):
            (waiting,) = await installation.indexed()
            assert waiting.letter.attempts == attempt - 1
            assert (await installation.replayed()).failed == 1
            await eventually(lambda wanted=attempt: _count(installation, wanted))
        (parked,) = await installation.indexed(Selection())
        assert (parked.status, parked.letter.attempts) == ("parked", 5)
        assert len(parked.failures) == 5
        assert (await installation.replayed()).total == 0
        rejecting.stage.reject = set()
        assert (await installation.replayed(Selection(status=("parked",)))).resolved == 1
    sizes = {
        sum(len(name) + len(value or b"") for name, value in one.headers) for one in await installation.letters(NAME)
    }
    assert max(sizes) - min(sizes) <= 8  # the digits of a time without microseconds
    assert len({len(one.headers) for one in await installation.letters(NAME)}) == 1
    assert len({one.value for one in await installation.letters(NAME)}) == 1


async def _count(installation: Installation, wanted: int) -> bool:
    return len(await installation.letters(NAME)) == wanted


async def test_replays_that_all_fail_do_not_open_the_breaker(installation: Installation) -> None:
    rejecting = RejectingWorker(installation, BREAKER__WINDOW="10")
    good = [product(f"good{number}", 1) for number in range(60)]
    source = installation.settings.topics.source("product")
    await publish(installation.settings, source, good)
    async with running(rejecting.worker, rejecting.settings):
        await installation.answered(NAME, 60)
    await rejecting.fail(ids(30))
    rejecting.settings.breaker.allow_rejects = False
    await installation.indexed()
    async with running(rejecting.worker, rejecting.settings):
        progress = await installation.replayed(WAITING, replace(QUICK, stop_share=1.0))
        assert (progress.state, progress.failed) == ("done", 30)
        await publish(installation.settings, source, [product("after", 1)])
        await eventually(lambda: "after" in rejecting.stage.versions())


async def test_a_canary_that_fails_stops_the_replay_of_the_others(installation: Installation) -> None:
    rejecting = RejectingWorker(installation)
    await rejecting.fail(ids(40))
    found = await installation.indexed()
    rejecting.stage.reject = {str(found[3].letter.entity_id)}
    async with running(rejecting.worker, rejecting.settings):
        progress = await installation.replayed(WAITING, replace(QUICK, canary=5))
    assert progress.state == "stopped"
    assert "1 of the first 5 failed again" in progress.why
    assert (progress.published, progress.failed) == (5, 1)
    assert len(await installation.replays(NAME)) == 5
    assert len(await installation.indexed()) == 36


async def test_a_canary_that_succeeds_lets_the_others_follow(installation: Installation) -> None:
    rejecting = RejectingWorker(installation)
    await rejecting.fail(ids(40))
    await installation.indexed()
    rejecting.stage.reject = set()
    async with running(rejecting.worker, rejecting.settings):
        progress = await installation.replayed(WAITING, replace(QUICK, canary=5))
    assert (progress.state, progress.resolved) == ("done", 40)


async def test_a_replay_stops_when_more_than_the_allowed_share_fails_again(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace_letters.replay.CHUNK", 50)
    monkeypatch.setattr("headrace_letters.replay.UNANSWERED", 50)
    rejecting = RejectingWorker(installation)
    await rejecting.fail(ids(400))
    await installation.indexed()
    async with running(rejecting.worker, rejecting.settings):
        progress = await installation.replayed(WAITING, replace(QUICK, stop_share=0.2))
    assert progress.state == "stopped"
    assert progress.published <= 150
    assert "failed again" in progress.why


async def test_a_replay_without_an_answer_stops_with_the_reason(installation: Installation) -> None:
    rejecting = RejectingWorker(installation)
    await rejecting.fail(ids(3))
    await installation.indexed()
    progress = await installation.replayed(WAITING, replace(QUICK, answer_within=1.0, canary=2))
    assert progress.state == "stopped"
    assert "2 replays have no answer" in progress.why
    assert progress.published == 2


async def test_a_replay_keeps_to_its_limit_and_its_rate(installation: Installation) -> None:
    rejecting = RejectingWorker(installation)
    await rejecting.fail(ids(50))
    await installation.indexed()
    rejecting.stage.reject = set()
    async with running(rejecting.worker, rejecting.settings):
        began = time.monotonic()
        progress = await installation.replayed(WAITING, replace(QUICK, limit=30, rate=20.0))
        seconds = time.monotonic() - began
    assert progress.published == len(await installation.replays(NAME)) == 30
    assert seconds >= 25 / 20


async def test_a_dry_run_changes_nothing(installation: Installation) -> None:
    rejecting = RejectingWorker(installation)
    await rejecting.fail(ids(3))
    await installation.indexed()
    progress = await installation.replayed(WAITING, replace(QUICK, dry_run=True))
    assert (progress.state, progress.published, progress.refused) == ("done", 3, 0)
    assert await installation.replays(NAME) == []
    assert await installation.index.audit() == []
    assert len(await installation.indexed()) == 3


async def test_a_letter_whose_replay_the_broker_did_not_acknowledge_waits(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def not_acknowledged(publisher: Publisher, records: Any) -> None:
        raise Unavailable("kafka", "records not acknowledged")

    rejecting = RejectingWorker(installation)
    await rejecting.fail(ids(3))
    await installation.indexed()
    with monkeypatch.context() as broker:
        broker.setattr(Publisher, "publish", not_acknowledged)
        with pytest.raises(Unavailable):
            await installation.replayed()
    assert await installation.index.count(Selection()) == {"waiting": 3}


async def test_a_letter_too_old_or_of_an_unknown_worker_is_refused_and_the_others_are_sent(
    installation: Installation,
) -> None:
    rejecting = RejectingWorker(installation)
    await rejecting.fail(ids(2))
    letters = await installation.letters(NAME)
    ancient = (datetime.now(UTC) - timedelta(days=15)).isoformat().encode()
    await _publish_letter(installation, letters[0], {headers.DEAD_ID: b"old", headers.DEAD_FIRST_FAILED_AT: ancient})
    await _publish_letter(installation, letters[0], {headers.DEAD_ID: None})
    await installation.indexed()
    rejecting.stage.reject = set()
    async with running(rejecting.worker, rejecting.settings):
        progress = await installation.replayed()
    assert (progress.published, progress.resolved) == (2, 2)
    assert progress.refusals == {"expired": 1, "foreign": 1}
    assert {one.letter.origin for one in await installation.indexed()} == {"headrace", "connect"}
    preview = await installation.previewed()
    assert dict(preview.counts) == {"expired": 1, "foreign": 1}


async def _publish_letter(installation: Installation, letter: Any, replaced: dict[str, bytes | None]) -> None:
    publisher = Publisher(installation.settings.kafka)
    sent_headers = [(name, replaced.get(name, value)) for name, value in letter.headers]
    sent_headers = [(name, value) for name, value in sent_headers if value is not None]
    await publisher.publish([Outgoing(letter.topic, letter.key, letter.value, sent_headers)])
    await publisher.close()


async def test_a_replay_that_is_closed_early_leaves_the_rest_waiting_and_records_its_progress(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace_letters.replay.CHUNK", 10)
    rejecting = RejectingWorker(installation)
    await rejecting.fail(ids(40))
    await installation.indexed()
    rejecting.stage.reject = set()
    async with running(rejecting.worker, rejecting.settings):
        begun = replay(
            installation.index, installation.reader, installation.stores, installation.settings, WAITING, QUICK,
            actor="on-call", reason="fixed",
        )  # fmt: skip
        async with aclosing(begun):
            async for progress in begun:
                if progress.published >= 10:
                    break
        sent = progress.published
        await installation.answered(NAME, 40 + sent)
    (row,) = await installation.index.audit()
    assert (row.actor, row.name, row.reason, row.count) == ("on-call", "replay", "fixed", sent)
    assert "stopped" in str(row.outcome)
    assert sent < 40
    assert len(await installation.indexed()) == 40 - sent


async def test_two_replays_of_one_selection_at_once_apply_each_letter_once(installation: Installation) -> None:
    rejecting = RejectingWorker(installation)
    await rejecting.fail(ids(200))
    await installation.indexed()
    rejecting.stage.reject = set()
    async with running(rejecting.worker, rejecting.settings):
        first, second = await asyncio.gather(installation.replayed(), installation.replayed(actor="day shift"))
        assert min(first.published, second.published) > 0, "the replays did not run at the same time"
        sent = len(await installation.replays(NAME))
        await installation.answered(NAME, 200 + sent)
    assert rejecting.stage.versions() == dict.fromkeys(ids(200), 1)
    statuses = await installation.index.count(Selection())
    assert await installation.indexed() == []
    assert sum((await installation.index.count(Selection())).values()) == 200, statuses


async def test_the_links_of_a_failed_request_are_requested_again(installation: Installation, servers: Servers) -> None:
    async with open_installation(servers, "link") as links:
        stage = MemoryStage()
        stage.reject = {"p1", "sweep"}
        worker = load_worker("link")
        settings = links.settings_of(worker)
        linker = replace(in_memory(worker, stage), listener=None)
        topic = settings.topics.relink
        await publish(settings, topic, [{"product_id": "p1"}], headers=[(headers.SCHEMA, b"relink-request/1")])
        publisher = Publisher(settings.kafka)
        sweep = [(headers.SCHEMA, b"sweep/1")]
        await publisher.publish([Outgoing(topic, b"sweep", b'{"sweep": true}', sweep)])
        await publisher.publish([Outgoing(topic, b"p2", b"{nope", [(headers.SCHEMA, b"relink-request/1")])])
        await publisher.close()
        async with running(linker, settings):
            await links.answered("link", 3)
            await links.indexed()
            ahead = await links.previewed()
            stage.reject = set()
            progress = await links.replayed()
        assert dict(ahead.counts) == {"recompute": 2, "undecodable": 1}
        assert (progress.resolved, progress.failed) == (2, 1)
        assert set(stage.stored) == {("relink", "p1"), ("sweep", "sweep")}
        found = await receipts(settings, "link")
        assert {receipt.topic for receipt in found.values() if receipt.outcome == "applied"} == {topic}
        statuses = {one.letter.entity_id: one.status for one in await links.indexed(Selection())}
        assert statuses["p1"] == "resolved"
        assert len([one for one in statuses.values() if one == "resolved"]) == 2
