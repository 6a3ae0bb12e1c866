"""The path returns only after everything is published; otherwise the batch goes back to Kafka and the health reports
why. No log line and no metric contains a payload."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import structlog
from aiokafka import TopicPartition
from faststream.exceptions import NackMessage
from harness.kafka_record import REPLAY_TOPIC, TIMESTAMP_MS, TOPIC, kafka_record
from harness.memory import MemoryStage
from harness.records import keyword, product
from prometheus_client import generate_latest

from headrace_runtime.assignment import Repair
from headrace_runtime.attempts import Attempts, RetryLoop
from headrace_runtime.batch import BatchPath
from headrace_runtime.breaker import Breaker
from headrace_runtime.decoder import Decoder
from headrace_runtime.health import Health
from headrace_runtime.holds import Holds
from headrace_runtime.metrics import Metrics
from headrace_runtime.publisher import Outgoing, RecordsRefused
from headrace_runtime.reporter import Reporter
from headrace_runtime.results import ResultPublisher
from headrace_runtime.stopping import Stopping
from headrace_schemas import headers
from headrace_schemas.changes import KeywordChange, ProductChange
from headrace_schemas.forget_record import Forget
from headrace_schemas.receipts import Receipts
from headrace_schemas.topics import Topics
from headrace_worker.settings import BatchSettings, BreakerSettings
from headrace_worker.stage import Applied, Conflict, Unavailable

TOPICS = Topics()
WINDOW = 20
KEYWORDS = TOPICS.source("keyword")
SECRET = "s3cr3t-payload"


class KeptPublisher:
    """Keeps what is published; `down_for`: topics that do not acknowledge."""

    def __init__(self) -> None:
        self.records: list[Outgoing] = []
        self.down_for: set[str] = set()

    async def publish(self, records: Sequence[Outgoing]) -> None:
        if any(record.topic in self.down_for for record in records):
            raise Unavailable("kafka", "not acknowledged")
        self.records += records

    def of(self, topic: str) -> list[Outgoing]:
        return [record for record in self.records if record.topic == topic]

    def outcomes(self) -> dict[int, str]:
        """The outcome that the receipts report for each offset."""
        read = [Receipts.model_validate_json(record.value or b"") for record in self.of(TOPICS.receipts)]
        return {receipt.offset: receipt.outcome for one in read for receipt in one.receipts}

    def outcomes_of(self, topic: str) -> dict[int, str]:
        """The outcome that the receipts report for each offset of one topic."""
        read = [Receipts.model_validate_json(record.value or b"") for record in self.of(TOPICS.receipts)]
        return {receipt.offset: receipt.outcome for one in read for receipt in one.receipts if receipt.topic == topic}


class Path:
    """The path of a batch of one worker, around a stage in memory."""

    def __init__(self, **breaker: Any) -> None:
        self.stage = MemoryStage()
        self.publisher = KeptPublisher()
        self.health = Health(10)
        self.health.assigned = 1
        self.metrics = Metrics("memory")
        self.holds = Holds("memory", self.health, self.metrics)
        self.outputs: list[Any] = []
        self.refused_outputs: set[str] = set()
        stopping = Stopping()
        batch = BatchSettings(give_back_after=0.001)
        loop = RetryLoop(
            Attempts(self.stage, timeout=5, poison_tries=3),
            batch,
            stopping,
            publish=self._publish,
            max_output_bytes=1000,
            on_unavailable=lambda error: None,
        )
        publisher: Any = self.publisher
        self.path = BatchPath(
            Decoder({TOPIC: ProductChange, KEYWORDS: KeywordChange}, REPLAY_TOPIC),
            loop,
            Breaker("memory", BreakerSettings.model_validate({"window": WINDOW} | breaker)),
            ResultPublisher("memory", TOPICS, publisher, max_record_bytes=50_000, receipts=True),
            Repair(self.stage, TOPICS, publisher.publish),
            self.holds,
            Reporter("memory", self.health, self.metrics),
        )

    async def _publish(self, outputs: Any) -> None:
        refused = [place for place, (decoded, _) in enumerate(outputs) if decoded.change.id in self.refused_outputs]
        self.outputs += [output for place, output in enumerate(outputs) if place not in refused]
        if refused:
            raise RecordsRefused(refused, "the topic accepts no batch as large")

    def sample(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)

    async def handle(self, *records: Any) -> None:
        await self.path.handle(records)


def live(*values: Any) -> list[Any]:
    return [
        kafka_record(value, b"raw" if isinstance(value, bytes) else None, offset=n) for n, value in enumerate(values)
    ]


async def test_every_record_is_in_the_receipts_and_every_reject_in_the_dead_letters() -> None:
    path = Path()
    path.stage.reject = {"b"}
    await path.handle(*live(product("a", 1), product("b", 1), product("a", 2), b"{"))
    assert path.publisher.outcomes() == {0: "superseded", 1: "dead", 2: "applied", 3: "dead"}
    assert {letter.key for letter in path.publisher.of(TOPICS.dead("memory"))} == {b"b", b"raw"}


async def test_receipts_are_published_after_the_dead_letters_they_report() -> None:
    path = Path()
    path.publisher.down_for = {TOPICS.dead("memory")}
    with pytest.raises(NackMessage):
        await path.handle(*live(b"{"))
    assert path.publisher.records == []


@pytest.mark.parametrize("topic", [TOPICS.receipts, TOPICS.dead("memory")])
async def test_a_batch_that_kafka_does_not_acknowledge_is_given_back(topic: str) -> None:
    path = Path()
    path.publisher.down_for = {topic}
    with pytest.raises(NackMessage):
        await path.handle(*live(product("a", 1), b"{"))
    [problem] = path.health.open_problems()
    assert (problem.kind, problem.subject, problem.reason) == ("kafka", "kafka", "not acknowledged")


async def test_a_store_that_is_down_gives_the_batch_back_with_nothing_published() -> None:
    path = Path()
    path.stage.down = True
    with pytest.raises(NackMessage):
        await path.handle(*live(product("a", 1), b"{"))
    assert path.publisher.records == []
    assert [(problem.kind, problem.subject) for problem in path.health.open_problems()] == [("store", "memory")]
    path.stage.down = False
    await path.handle(*live(product("a", 1)))
    assert path.health.problems() == []


def keywords(count: int) -> list[Any]:
    return [kafka_record(keyword(f"k{n}", 1), topic=KEYWORDS, offset=n) for n in range(count)]


async def test_systemic_rejects_hold_their_topic_and_publish_nothing_of_it() -> None:
    path = Path()
    path.stage.reject = {f"p{n}" for n in range(WINDOW)}
    products = live(*[product(f"p{n}", 1) for n in range(WINDOW)])
    for _ in range(2):
        await path.handle(*products, *keywords(3))
        assert path.holds.take_set_back() == {TopicPartition(TOPIC, 0): 0}
    assert path.publisher.of(TOPICS.dead("memory")) == []
    assert set(path.stage.versions()) == {"k0", "k1", "k2"}
    [problem] = path.health.open_problems()
    assert (problem.kind, problem.subject) == ("held topic", TOPIC)
    assert problem.reason == "20 of the last 20 products: refused by store: memory, refused"
    assert (path.sample("headrace_held"), path.sample("headrace_held_topics", topic=TOPIC)) == (1, 1)
    assert path.sample("headrace_breaker_opened_total", topic=TOPIC) == 1
    path.stage.reject = set()
    await path.handle(*products)
    assert path.health.problems() == []
    assert path.holds.take_set_back() == {}
    assert (path.sample("headrace_held"), path.sample("headrace_held_topics", topic=TOPIC)) == (0, 0)


@pytest.mark.parametrize("undecodable", [True, False])
async def test_no_output_of_a_held_topic_is_published(undecodable: bool) -> None:
    path = Path()
    path.stage.outputs = "headrace.embedded"
    path.stage.reject = {f"bad{n}" for n in range(WINDOW)}
    wrong = [{"price": "x"} if undecodable else {} for _ in range(WINDOW)]
    bad = [product(f"bad{n}", 1, **fields) for n, fields in enumerate(wrong)]
    for _ in range(3):
        await path.handle(*live(*[product(f"p{n}", 1) for n in range(5)], *bad), *keywords(2))
    # The keywords of each batch, and nothing else.
    assert {decoded.change.id for decoded, _ in path.outputs} == {"k0", "k1"}
    assert set(path.publisher.outcomes_of(TOPIC)) == set()
    assert set(path.publisher.outcomes_of(KEYWORDS).values()) == {"applied"}


async def test_outputs_beside_those_that_their_topic_refuses_are_published_once_while_the_topic_is_held() -> None:
    path = Path()
    path.stage.outputs = "headrace.embedded"
    path.refused_outputs = {f"large{n}" for n in range(WINDOW)}
    products = live(*[product(f"p{n}", 1) for n in range(5)], *[product(f"large{n}", 1) for n in range(WINDOW)])
    for _ in range(3):
        await path.handle(*products, *keywords(2))
    assert [problem.kind for problem in path.health.open_problems()] == ["held topic"]
    assert sorted(decoded.change.id for decoded, _ in path.outputs if decoded.kind == "product") == [
        f"p{n}" for n in range(5)
    ]
    path.refused_outputs = set()
    await path.handle(*products)
    assert path.health.problems() == []
    published = Counter(decoded.change.id for decoded, _ in path.outputs if decoded.kind == "product")
    assert published == Counter(record.key.decode() for record in products)


async def test_outputs_of_a_record_that_was_answered_are_published_again_if_it_is_read_again() -> None:
    """What is remembered of a held topic ends with the hold: an operator may set a group back to publish again."""
    path = Path()
    path.stage.outputs = "headrace.embedded"
    path.refused_outputs = {f"large{n}" for n in range(WINDOW)}
    products = live(product("p", 1), *[product(f"large{n}", 1) for n in range(WINDOW)])
    for _ in range(2):
        await path.handle(*products)
    path.refused_outputs = set()
    await path.handle(*products)
    await path.handle(*products[:1])
    assert [decoded.change.id for decoded, _ in path.outputs].count("p") == 2


async def test_outputs_of_a_held_topic_are_remembered_for_a_bounded_number_of_records(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("headrace_runtime.attempts.MOST_ACKNOWLEDGED", 3)
    path = Path()
    path.stage.outputs = "headrace.embedded"
    path.refused_outputs = {f"large{n}" for n in range(WINDOW)}
    products = live(*[product(f"p{n}", 1) for n in range(5)], *[product(f"large{n}", 1) for n in range(WINDOW)])
    for _ in range(2):
        await path.handle(*products)
    published = Counter(decoded.change.id for decoded, _ in path.outputs)
    assert published == {"p0": 2, "p1": 2, "p2": 1, "p3": 1, "p4": 1}


async def test_replays_of_a_held_topic_go_on() -> None:
    path = Path()
    pairs = [(headers.CONNECT_TOPIC, TOPIC.encode())]
    replay = kafka_record(product("r", 1), topic=REPLAY_TOPIC, headers=pairs)
    await path.handle(*live(*[b"{"] * WINDOW), replay)
    assert [problem.subject for problem in path.health.open_problems()] == [TOPIC]
    assert path.stage.versions() == {"r": 1}


async def test_a_batch_counts_for_the_breaker_only_when_it_is_settled() -> None:
    path = Path()
    path.publisher.down_for = {TOPICS.dead("memory")}
    for _ in range(3):
        with pytest.raises(NackMessage):
            await path.handle(*live(*[b"{"] * (WINDOW - 1)))
    path.publisher.down_for = set()
    await path.handle(*live(*[b"{"] * (WINDOW - 1)))
    assert len(path.publisher.of(TOPICS.dead("memory"))) == WINDOW - 1


async def test_an_operator_who_allows_rejects_gets_them_as_dead_letters() -> None:
    path = Path(allow_rejects=True)
    await path.handle(*live(*[b"{"] * 3 * WINDOW))
    assert len(path.publisher.of(TOPICS.dead("memory"))) == 3 * WINDOW


async def test_rejects_that_are_far_apart_in_a_batch_do_not_open_the_breaker() -> None:
    path = Path()
    # One of four does not decode: never more than a quarter of any 20 in a row.
    values = [b"{" if n % 4 == 0 else product(f"p{n}", 1) for n in range(20 * WINDOW)]
    await path.handle(*live(*values))
    assert len(path.publisher.of(TOPICS.dead("memory"))) == 5 * WINDOW


async def test_failing_replays_never_hold_the_worker() -> None:
    path = Path()
    path.stage.reject = {f"p{n}" for n in range(3 * WINDOW)}
    pairs = [(headers.CONNECT_TOPIC, TOPIC.encode())]
    decodable = [
        kafka_record(product(f"p{n}", 1), topic=REPLAY_TOPIC, offset=n, headers=pairs) for n in range(3 * WINDOW)
    ]
    broken = [kafka_record(b"{", topic=REPLAY_TOPIC, offset=1000 + n, headers=pairs) for n in range(3 * WINDOW)]
    await path.handle(*decodable, *broken)
    assert len(path.publisher.of(TOPICS.dead("memory"))) == 6 * WINDOW


async def test_a_newer_schema_holds_its_topic_before_anything_of_it_is_applied() -> None:
    path = Path()
    newer = kafka_record(product("b", 1), offset=1, headers=[(headers.SCHEMA, b"product-change/2")])
    await path.handle(*live(product("a", 1)), newer, *keywords(1))
    assert path.holds.take_set_back() == {TopicPartition(TOPIC, 0): 0}
    assert path.stage.versions() == {"k0": 1}
    assert path.publisher.outcomes_of(TOPIC) == {}
    [problem] = path.health.open_problems()
    assert (problem.subject, "product-change/2" in problem.reason) == (TOPIC, True)


async def test_a_topic_stays_held_while_only_another_partition_of_it_goes_on() -> None:
    path = Path()
    newer = kafka_record(product("b", 1), headers=[(headers.SCHEMA, b"product-change/2")])
    await path.handle(newer)
    await path.handle(kafka_record(product("a", 1), partition=1))
    assert path.stage.versions() == {"a": 1}
    assert [problem.subject for problem in path.health.open_problems()] == [TOPIC]
    await path.handle(*live(product("b", 1)))
    assert path.health.problems() == []


async def test_a_store_that_answers_again_is_no_problem_although_the_topic_is_held() -> None:
    path = Path()
    products = live(*[product(f"p{n}", 1) for n in range(WINDOW)])
    path.stage.down = True
    with pytest.raises(NackMessage):
        await path.handle(*products)
    path.stage.down = False
    path.stage.reject = {f"p{n}" for n in range(WINDOW)}
    await path.handle(*products)
    assert [problem.kind for problem in path.health.open_problems()] == ["held topic"]


async def test_the_metric_of_records_counts_each_outcome() -> None:
    path = Path()
    path.stage.reject = {"b"}
    await path.handle(*live(product("a", 1), product("b", 1), product("a", 2), b"{"))
    counted = {
        outcome: path.metrics.registry.get_sample_value(
            "headrace_records_total", {"kind": "product", "outcome": outcome}
        )
        for outcome in ("applied", "superseded", "dead")
    }
    assert counted == {"applied": 1, "superseded": 1, "dead": 2}


async def test_the_steps_of_a_batch_are_measured_and_the_wait_of_each_record() -> None:
    path = Path()
    await path.handle(*live(product("a", 1), product("b", 1), b"{"))
    for step, count in {"queued": 3, "decode": 1, "write": 1, "publish": 1}.items():
        assert path.sample("headrace_stage_seconds_count", stage=step) == count
    waited = path.sample("headrace_stage_seconds_sum", stage="queued")
    assert waited is not None
    assert waited / 3 == pytest.approx(time.time() - TIMESTAMP_MS / 1000, abs=60)
    assert path.sample("headrace_delay_seconds_count", kind="product") == 2
    assert path.sample("headrace_publication_delay_seconds_count", kind="product") == 2


async def test_a_conflict_is_an_outcome_of_its_own_and_is_logged_without_its_content(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = Path()
    monkeypatch.setattr(path.stage, "apply_one", lambda change: Conflict() if change.id == "a" else Applied())
    with structlog.testing.capture_logs() as lines:
        await path.handle(*live(product("a", 3, title=SECRET), product("b", 1)))
    assert path.publisher.outcomes() == {0: "conflict", 1: "applied"}
    assert path.publisher.of(TOPICS.dead("memory")) == []
    read = path.metrics.registry.get_sample_value
    assert read("headrace_records_total", {"kind": "product", "outcome": "conflict"}) == 1
    assert read("headrace_version_conflicts_total") == 1
    assert [line for line in lines if line["event"] == "version_conflict"] == [
        {
            "event": "version_conflict", "log_level": "warning", "kind": "product", "key": "a", "version": 3,
            "topic": TOPIC, "partition": 0, "offset": 0,
        }
    ]  # fmt: skip


async def test_other_content_under_a_version_is_a_conflict_within_a_batch_and_the_first_stays() -> None:
    path = Path()
    first, second = product("a", 1, title="first"), product("a", 1, title="second")
    await path.handle(*live(first, second, first, second, first | {"occurred_at": "2026-01-01T00:00:00Z"}))
    assert path.publisher.outcomes() == {0: "applied", 1: "conflict", 2: "applied", 3: "conflict", 4: "applied"}
    assert path.metrics.registry.get_sample_value("headrace_version_conflicts_total") == 2
    assert path.stage.stored["product", "a"].title == "first"
    assert [[change.title for change in batch] for batch in path.stage.batches] == [["first"], ["second"]]


async def test_neither_logs_nor_metrics_carry_a_payload() -> None:
    path = Path()
    path.stage.reject = {"b"}
    fields = {"title": SECRET, "description": SECRET, "attributes": {SECRET: SECRET}}
    with structlog.testing.capture_logs() as lines:
        await path.handle(
            *live(
                product("a", 1, **fields),
                product("a", 1, **fields | {"brand": SECRET}),
                product("b", 1, **fields),
                product("c", 1, price=SECRET, **fields),
                f"{{{SECRET}".encode(),
            )
        )
        path.stage.down = True
        with pytest.raises(NackMessage):
            await path.handle(*live(product("d", 1, **fields)))
    events = {line["event"] for line in lines}
    assert {"dead_letter", "version_conflict", "batch_settled", "batch_given_back"} <= events
    assert SECRET not in json.dumps(lines, default=str)
    assert SECRET.encode() not in generate_latest(path.metrics.registry)


@pytest.mark.parametrize("polls", [[4], [1, 3], [2, 2], [3, 1], [1, 1, 1, 1]])
async def test_a_version_that_is_taken_back_counts_until_its_record_however_the_records_are_polled(
    polls: list[int],
) -> None:
    forget = Forget(kind="product", id="a", version=999)
    records = live(product("a", 5), product("a", 999), b"", product("a", 6))
    records[2] = replace(
        records[2], key=b"a", value=forget.model_dump_json().encode(), headers=(headers.schema_pair(forget),)
    )
    path, begin = Path(), 0
    for size in polls:
        await path.handle(*records[begin : begin + size])
        begin += size
    assert path.stage.versions() == {"a": 6}
    outcomes = path.publisher.outcomes()
    assert outcomes.pop(0) in ("applied", "superseded")
    assert outcomes == {1: "applied", 2: "applied", 3: "applied"}


@pytest.mark.parametrize(
    ("value", "key"), [(b"{}", b"a"), (Forget(kind="keyword", id="a", version=9).model_dump_json().encode(), b"a")]
)
async def test_a_wrong_record_that_takes_back_a_version_is_a_dead_letter(value: bytes, key: bytes) -> None:
    path = Path()
    await path.handle(kafka_record(value, key, headers=[headers.schema_pair(Forget)]))
    assert path.publisher.outcomes() == {0: "dead"}
