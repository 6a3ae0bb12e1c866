"""The demo fails for every number that does not add up and every difference."""

from dataclasses import replace

import pytest

from headrace_demo.catalogue.events import Change, Malformed
from headrace_demo.entity_comparison import EntityComparison, expected_entities
from headrace_demo.findings import Findings, WorkerFigures
from headrace_demo.link_comparison import LinkComparison

EMBED = WorkerFigures("embed", 10, 10, 10, 7, 1, 0, 2, 0, 5.0, (0.1, 0.2, 0.3))
QDRANT = WorkerFigures("qdrant", 7, 0, 7, 7, 0, 0, 0, 0, 5.0, (0.1, 0.2, 0.3))
RIGHT = Findings(
    10, 2, frozenset({"embed"}), [EMBED, QDRANT], {"qdrant": {"product": EntityComparison(live=7)}}, {}, None, {}
)


def test_correct_findings_have_no_problems() -> None:
    assert RIGHT.problems() == []


@pytest.mark.parametrize(
    ("worker", "said"),
    [
        (replace(EMBED, applied=6, consumed=9), "embed: 10 published, 9 accounted for"),
        (replace(EMBED, published=9, of_catalogue=9, applied=6), "embed: its topics contain 9 of 10 records"),
        (replace(EMBED, dead=3, applied=6), "embed: 3 dead letters, 2 records are malformed"),
        (replace(QDRANT, conflict=1, applied=6), "qdrant: 1 conflicts, no two changes share a version"),
        (replace(QDRANT, dead=1, applied=6), "qdrant: 1 dead letters, 0 records are malformed"),
    ],
)
def test_a_worker_whose_numbers_do_not_add_up(worker: WorkerFigures, said: str) -> None:
    workers = [worker if worker.worker == right.worker else right for right in RIGHT.workers]
    assert replace(RIGHT, workers=workers).problems() == [said]


def test_a_store_that_differs() -> None:
    differs = EntityComparison(live=7, different=1, differences=[("p-1", "is missing")])
    assert replace(RIGHT, stores={"qdrant": {"product": differs}}).problems() == ["qdrant: product p-1 is missing"]


def test_links_that_differ() -> None:
    differs = LinkComparison(products=1, links=3, different=1, differences=[("p-1", "is not linked to k-1")])
    assert replace(RIGHT, links={"link": differs}).problems() == ["link: p-1 is not linked to k-1"]


def test_expected_entities_are_the_newest_changes_without_malformed_records() -> None:
    def change(version: int, **fields: object) -> Change:
        record = {"op": "upsert", "product_id": "p", "version": version, "occurred_at": "2026-01-01T00:00:00Z"}
        return Change("product", "create", record | fields)

    events = [change(2, title="new"), change(1, title="old"), Malformed("product", "empty", b"q", b"")]
    newest = expected_entities(events)
    assert newest.keys() == {("product", "p")}
    assert (newest["product", "p"].newest.version, newest["product", "p"].newest.deleted) == (2, False)
    deleted = expected_entities([*events, change(3, op="delete")])["product", "p"].newest
    assert (deleted.version, deleted.deleted) == (3, True)
