"""The numbers of letters that wait, and the answers of replays, are metrics with few time series."""

from prometheus_client.registry import Collector

from headrace_dead_letters.metrics import ALL, PARKED, REPLAYS, WAITING, count_replays, show
from headrace_letters.reason_counts import Alike
from headrace_letters.replay_answers import ReplayAnswer
from headrace_schemas.receipts import ReceiptOutcome


def shown(metric: Collector) -> dict[tuple[str, ...], float]:
    """Label values to number."""
    samples = [one for family in metric.collect() for one in family.samples if not one.name.endswith("_created")]
    return {tuple(sample.labels.values()): sample.value for sample in samples}


def test_letters_count_by_worker_and_reason_and_unknown_names_count_together() -> None:
    show(
        {
            Alike("qdrant", "refused_by_store", "waiting"): 7,
            Alike("qdrant", "refused_by_store", "parked"): 2,
            Alike("qdrant", "refused_by_store", "resolved"): 99,
            Alike("connector-1", "java.lang.Exception", "waiting"): 3,
            Alike("connector-2", "some text", "waiting"): 4,
        }
    )
    assert shown(WAITING) == {("qdrant", "refused_by_store"): 7, ("other", "other"): 7}
    assert shown(PARKED) == {("qdrant", "refused_by_store"): 2}
    show({})
    assert shown(WAITING) == shown(PARKED) == {}


def test_the_answers_of_replays_count_by_what_becomes_of_the_letter() -> None:
    before = shown(REPLAYS)
    outcomes: list[ReceiptOutcome] = ["applied", "ignored", "superseded", "conflict", "dead"]
    count_replays(ReplayAnswer("qdrant:t:0:1:2", 1, outcome) for outcome in outcomes)
    after = {of: number - before.get(of, 0) for of, number in shown(REPLAYS).items()}
    assert after == {("resolved",): 2, ("superseded",): 2, ("dead",): 1}
    assert REPLAYS in ALL
