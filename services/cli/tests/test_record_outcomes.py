"""What became of records, from receipts and dead letters in any order."""

import itertools

from aiokafka import TopicPartition

from headrace_cli.record_outcomes import OTHERS, UNKNOWN_CAUSE, Cause, Counts, Part, RecordOutcomes

FIRST = TopicPartition("t.products", 0)
ES = Part("elasticsearch", FIRST)
PRICE = Cause("f1", "invalid", "price: Input should be a valid number")


def outcomes(begin: int = 10, end: int | None = 20, part: Part = ES) -> RecordOutcomes:
    made = RecordOutcomes({part: begin})
    if end is not None:
        made.pin(part.worker, {part.partition: end})
    return made


def only(found: RecordOutcomes) -> Counts:
    (counts,) = found.counts()
    return counts


def test_a_record_without_a_receipt_has_no_answer() -> None:
    found = outcomes()
    found.put(ES, [(12, "applied")])
    counts = only(found)
    assert (counts.records, counts.applied, counts.unanswered) == (10, 1, 9)


def test_receipts_outside_of_the_range_or_of_another_worker_do_not_count() -> None:
    found = outcomes()
    for offset in (0, 9, 20, 10**12):
        found.put(ES, [(offset, "dead")])
    found.put(Part("embed", FIRST), [(12, "dead")])
    found.put(Part("elasticsearch", TopicPartition("t.replay.elasticsearch", 0)), [(12, "dead")])
    assert (only(found).dead_letters, only(found).unanswered) == (0, 10)


def test_the_order_and_the_number_of_reports_change_nothing() -> None:
    def put(found: RecordOutcomes, report: str) -> None:
        match report:
            case "letter":
                found.put_letter(ES, 10, PRICE)
            case "replay failed":
                found.put_replay(ES, 10, "dead")
            case _:
                found.put(ES, [(10, report)])  # type: ignore[arg-type]

    for reports in itertools.permutations(["superseded", "applied", "dead", "letter", "replay failed", "letter"]):
        found = outcomes(end=11)
        for report in reports:
            put(found, report)
        assert only(found).dead == {PRICE: 1}


def test_a_replay_that_was_applied_ends_a_dead_letter_in_any_order() -> None:
    reports = [
        lambda found: found.put(ES, [(10, "dead")]),
        lambda found: found.put_letter(ES, 10, PRICE),
        lambda found: found.put_replay(ES, 10, "dead"),
        lambda found: found.put_replay(ES, 10, "applied"),
    ]
    for ordered in itertools.permutations(reports):
        found = outcomes(end=11)
        for put in ordered:
            put(found)
        assert (only(found).applied, only(found).by_replay, only(found).dead_letters) == (1, 1, 0)


def test_dead_letters_are_counted_by_cause_however_many_causes_there_are() -> None:
    found = outcomes(0, 1000)
    for offset in range(600):
        found.put_letter(ES, offset, Cause(f"f{offset}", "invalid", "e"))
    found.put(ES, [(600, "dead")])
    dead = only(found).dead
    assert sum(dead.values()) == 601
    assert dead[UNKNOWN_CAUSE] == 1
    assert dead[OTHERS] == 600 - len(dead) + 2


def test_a_range_without_an_end_is_counted_once_it_has_one() -> None:
    found = outcomes(end=None)
    found.put(ES, [(12, "applied")])
    found.put(ES, [(30, "dead")])
    assert found.counts() == []
    found.pin(ES.worker, {FIRST: 20})
    assert (only(found).records, only(found).applied, only(found).dead_letters) == (10, 1, 0)
    found.pin(ES.worker, {FIRST: 15})
    assert only(found).records == 10


def test_a_receipt_beyond_the_end_counts_when_the_end_moves_up() -> None:
    """A topic may belong to several levels: what is read between two of them is not read again."""
    found = outcomes(end=12)
    found.put(ES, [(10, "applied"), (11, "applied"), (12, "applied"), (13, "superseded")])
    assert (only(found).records, only(found).applied) == (2, 2)
    found.pin("elasticsearch", {FIRST: 14})
    assert (only(found).records, only(found).applied, only(found).superseded) == (4, 3, 1)
    found.pin("elasticsearch", {FIRST: 13})
    assert (only(found).records, only(found).unanswered) == (4, 0)


def test_offsets_without_a_record_do_not_count() -> None:
    found = outcomes()
    found.put(ES, [(12, "applied")])
    found.no_record(FIRST, range(10, 19))
    counts = only(found)
    assert (counts.records, counts.applied, counts.unanswered) == (2, 1, 1)
    assert found.records_on({"t.products"}) == 2
    assert found.records_on({"t.keywords"}) == 0


def test_the_records_of_two_readers_of_a_topic_are_counted_once() -> None:
    embed = Part("embed", FIRST)
    found = RecordOutcomes({ES: 10, embed: 15})
    for part in (ES, embed):
        found.pin(part.worker, {FIRST: 20})
    assert found.records_on({"t.products"}) == 10
