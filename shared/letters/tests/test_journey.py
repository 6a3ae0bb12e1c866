"""The journey of an entity says what is missing and why, and never that all is well when it is not known."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from headrace_clients.worker_conditions import WorkerCondition
from headrace_letters.journey import Journey, Sources, Stop
from headrace_letters.journey_decisions import journey
from headrace_letters.last_receipts import EntityReceipt, LastReceipts
from headrace_letters.letter import Letter
from headrace_letters.letter_rows import IndexedLetter
from headrace_letters.link_requests import LinkRequests
from headrace_letters.newest_published import NewestPublished, PublishedVersion
from headrace_letters.store_answers import StoreAnswer
from headrace_runtime.decoder import Position
from headrace_schemas.links import Link
from headrace_schemas.receipts import Receipt

PUBLISHED = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
EMBED = Stop("embed", frozenset({"products"}))
ELASTICSEARCH = Stop("elasticsearch", frozenset({"products"}), store=True)
QDRANT = Stop("qdrant", frozenset({"embedded"}), "embed", store=True)
LINK = Stop("link", frozenset({"receipts", "relink"}), "qdrant")
STOPS = [EMBED, ELASTICSEARCH, QDRANT]
WELL = WorkerCondition(1, True, (), {})
ALL_WELL = dict.fromkeys(("embed", "elasticsearch", "qdrant", "link"), WELL)
KEYWORDS = [Link(keyword_id=id, text=id, score=0.5, rank=rank) for rank, id in enumerate("ab", 1)]


def published(version: int = 7, **changed: Any) -> NewestPublished:
    fields = {"deleted": False, "published_at": PUBLISHED, "occurred_at": PUBLISHED - timedelta(seconds=2)}
    newest = PublishedVersion(partition=3, offset=40, version=version, trace_id=None, **fields | changed)
    return NewestPublished("products", newest, 100, PUBLISHED, True)


def receipt(worker: str, after_ms: int, version: int = 7, outcome: Any = "applied", kind: Any = "product") -> Any:
    about = Receipt(topic="t", partition=0, offset=0, outcome=outcome, kind=kind, id="p", version=version)
    return EntityReceipt(worker, PUBLISHED + timedelta(milliseconds=after_ms), about)


def receipts(*found: EntityReceipt, complete: bool = True) -> LastReceipts:
    return LastReceipts(found, 5, PUBLISHED, complete)


def stored(store: str, version: int | None = 7, searchable: int | None = 7, **more: Any) -> StoreAnswer:
    return StoreAnswer(store, version, searchable=searchable, **more)


def letter(worker: str, version: int = 7, status: Any = "waiting") -> IndexedLetter:
    position = Position("headrace.any", 0, 1)
    failure = ("refused_by_store", "f", "price too high", 1, PUBLISHED, PUBLISHED + timedelta(milliseconds=90))
    one = Letter("id", "headrace", worker, *failure, b"p", position, position, "product", "p", version, 2)
    return IndexedLetter(one, status, None, None, ())


def linked(store: str, version: int = 1, links: Sequence[Link] = KEYWORDS, **more: Any) -> StoreAnswer:
    return StoreAnswer(store, version, links=links, **more)


def of(**changed: Any) -> Journey:
    """A product that every worker has settled, except for what is changed."""
    sources: dict[str, Any] = {
        "published": published(),
        "stored": [stored("elasticsearch"), stored("qdrant")],
        "receipts": receipts(
            receipt("embed", 40), receipt("elasticsearch", 30), receipt("qdrant", 60),
            receipt("link", 95, version=1, kind="relink"),
        ),
        "conditions": ALL_WELL,
        "links": [linked("link", 2), linked("elasticsearch")],
        "requests": LinkRequests(0, 0),
    }  # fmt: skip
    return journey("product", "p", STOPS, LINK, Sources(**sources | changed))


def test_a_settled_version_has_its_times_and_misses_nothing() -> None:
    found = of()
    assert found.missing == []
    assert [(one.worker, one.outcome, one.milliseconds) for one in found.passages] == [
        ("embed", "applied", 40), ("elasticsearch", "applied", 30), ("qdrant", "applied", 60), ("link", "applied", 95),
    ]  # fmt: skip
    assert (found.version, found.published_at) == (7, PUBLISHED)
    assert found.occurred_at == PUBLISHED - timedelta(seconds=2)


def test_a_held_worker_is_the_reason_with_its_time_and_its_lag() -> None:
    held = WorkerCondition(1, True, ["held: embedded since 12:03:04 UTC: a newer schema"], {"embedded": 120, "x": 3})
    found = of(
        stored=[stored("elasticsearch"), stored("qdrant", 6, 6)],
        receipts=receipts(receipt("embed", 40), receipt("elasticsearch", 30)),
        conditions=ALL_WELL | {"qdrant": held},
    )
    why = "not settled; the worker: held: embedded since 12:03:04 UTC: a newer schema; lag 120 records"
    assert f"qdrant: {why}" in found.missing
    assert f"qdrant: has version 6; {why}" in found.missing


def test_each_reason_why_a_worker_has_not_settled_a_version_has_its_own_words() -> None:
    def why(condition: WorkerCondition | None) -> str:
        conditions = {name: one for name, one in ALL_WELL.items() if name != "elasticsearch"}
        conditions |= {"elasticsearch": condition} if condition else {}
        found = of(stored=[stored("elasticsearch", None, 0), stored("qdrant")],
                   receipts=receipts(receipt("embed", 1), receipt("qdrant", 2)), conditions=conditions)  # fmt: skip
        return found.passages[1].missing

    assert why(WorkerCondition(0, False, (), {"products": 1})) == (
        "not settled; no copy of elasticsearch runs; lag 1 record"
    )
    assert why(WorkerCondition(2, False, (), {})) == "not settled; its /readyz cannot be read from here"
    assert why(None) == "not settled; the state of the worker is not known"
    assert why(WELL).startswith("not known: no receipt among the last 5 since 2026-03-01 12:00:00 UTC")


def test_a_worker_behind_one_that_has_not_settled_waits_for_it() -> None:
    found = of(
        stored=[stored("elasticsearch"), stored("qdrant", None, 0)], receipts=receipts(receipt("elasticsearch", 30))
    )
    assert [one.outcome for one in found.passages] == [None, "applied", None, None]
    assert found.passages[2].missing == "not settled: it reads the records of embed, which has not settled it"
    rejected = of(
        stored=[stored("elasticsearch"), stored("qdrant", None, 0)],
        receipts=receipts(receipt("elasticsearch", 30), receipt("embed", 50, outcome="dead")),
        letters=[letter("embed")],
    )
    assert rejected.passages[0].missing == "dead letter (waiting): refused_by_store: price too high"
    assert rejected.passages[0].milliseconds == 90
    assert rejected.passages[2].missing == "not settled: it reads the records of embed, which rejected it"


def test_a_letter_that_was_resolved_and_one_of_another_version_are_no_cause() -> None:
    for other in (letter("qdrant", status="resolved"), letter("qdrant", version=6)):
        assert of(letters=[other]).missing == []
        unsettled = of(stored=[stored("qdrant", None, 0)], receipts=receipts(receipt("embed", 40)), letters=[other])
        assert unsettled.passages[2].outcome is None


def test_a_conflict_is_missing_although_another_receipt_says_applied() -> None:
    found = of(receipts=receipts(receipt("qdrant", 80, outcome="conflict"), receipt("qdrant", 60), receipt("embed", 1)))
    assert "qdrant: the store keeps other content of the same version" in found.missing


def test_without_receipts_the_stores_prove_what_is_settled() -> None:
    found = of(receipts=receipts())
    assert [one.outcome for one in found.passages] == ["stored"] * 4
    assert found.missing == []


def test_a_version_that_is_stored_but_not_found_is_missing_and_so_is_a_delete_that_is_still_found() -> None:
    late = of(stored=[stored("elasticsearch", 7, 6), stored("qdrant", 7, 0)])
    assert late.missing == ["elasticsearch: a search still finds version 6", "qdrant: a search does not find it yet"]
    gone = published(deleted=True)
    tombstones = [stored("elasticsearch", 7, 6, deleted=True), stored("qdrant", 7, 0, deleted=True)]
    found = of(published=gone, stored=tombstones, links=[StoreAnswer("link", 3, True), linked("elasticsearch")])
    assert found.deleted
    assert found.missing == [
        "elasticsearch: a search still finds version 6", "links in elasticsearch: still has links",
    ]  # fmt: skip


def test_links_that_differ_from_those_of_the_worker_are_missing() -> None:
    found = of(links=[linked("link", 9), linked("elasticsearch", 4, KEYWORDS[:1]), StoreAnswer("pgvector")])
    assert found.missing == [
        "links in elasticsearch: other links than link has, whose version is 9", "links in pgvector: no link set",
    ]  # fmt: skip


def test_links_are_not_settled_before_the_worker_that_they_follow_or_with_an_older_title() -> None:
    behind = of(stored=[stored("elasticsearch"), stored("qdrant", 6, 6)], receipts=receipts(receipt("embed", 40)))
    assert behind.passages[-1].missing == "not settled: it reads the records of qdrant, which has not settled it"
    assert behind.passages[-1].outcome is None
    titled = [stored("elasticsearch"), stored("qdrant", fields={"title": "new " + "x" * 200})]
    for title, outcome in (("old", None), ("new " + "x" * 96, "stored")):
        found = of(stored=titled, links=[linked("link", fields={"title": title})], receipts=receipts())
        assert found.passages[-1].outcome == outcome


def test_a_stored_link_set_is_that_of_the_version_unless_a_request_of_the_product_is_open() -> None:
    def link(requests: LinkRequests | None, **changed: Any) -> tuple[Any, str]:
        late = WorkerCondition(1, True, (), {"relink": 9_000, "embedded": 3})
        read: dict[str, Any] = {"receipts": receipts(receipt("qdrant", 60)), "requests": requests}
        found = of(**read | {"conditions": ALL_WELL | {"link": late, "qdrant": late}} | changed)
        return found.passages[-1].outcome, found.passages[-1].missing

    assert link(LinkRequests(9_000, 0)) == ("stored", "")
    assert link(LinkRequests(9_000, 2)) == (
        "stored",
        "not settled: link has 9,000 unread records, 2 of them of this product",
    )
    assert link(LinkRequests(90_000, None)) == (
        "stored", "not known: link has 90,000 unread records, too many to look for those of this product",
    )  # fmt: skip
    assert link(None, requests_problem="the requests of links: no answer within 15 s") == (
        "stored", "not known: the requests of links: no answer within 15 s",
    )  # fmt: skip
    later = published(published_at=PUBLISHED + timedelta(seconds=1))
    unreported = {"receipts": receipts(), "published": later}
    assert link(LinkRequests(0, 0), **unreported) == (
        "stored", "not known: there is no receipt of qdrant, which has lag 3 records",
    )  # fmt: skip
    assert link(LinkRequests(0, 0), **unreported, conditions=ALL_WELL) == ("stored", "")
    assert link(LinkRequests(0, 0), receipts=receipts()) == ("stored", "")


def test_what_cannot_be_read_is_missing() -> None:
    unread = NewestPublished("products", problem="products cannot be read (KafkaConnectionError)")
    problems = {"letters_problem": "the index: no answer", "receipts_problem": "the receipts: no answer",
                "conditions_problem": "the state of the workers: no answer"}  # fmt: skip
    found = of(published=unread, receipts=receipts(), conditions={}, **problems)
    assert found.missing == [
        "products cannot be read (KafkaConnectionError): a newer version may be published",
        "the receipts: no answer", "the index: no answer", "the state of the workers: no answer",
    ]  # fmt: skip
    nothing = of(published=NewestPublished("products"), stored=[stored("qdrant", None, 0)], receipts=receipts())
    assert nothing.missing[0] == "no version of the product is known"


def test_a_store_that_does_not_answer_is_not_known() -> None:
    found = of(stored=[StoreAnswer("elasticsearch", problem="does not answer: refused"), stored("qdrant")])
    assert found.missing == ["elasticsearch: does not answer: refused"]


def test_a_time_that_is_in_no_year_of_utc_is_not_known() -> None:
    before_year_1 = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))
    assert of(published=published(occurred_at=before_year_1)).occurred_at is None
    assert of(published=published()).occurred_at == PUBLISHED - timedelta(seconds=2)
