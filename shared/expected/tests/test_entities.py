"""What a store must hold of an entity does not depend on the order, the batches or the duplicates of its changes."""

from datetime import UTC, datetime
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from headrace_expected.entities import (
    Entity,
    Expected,
    Letter,
    Position,
    allowed,
    expected_of,
    fold,
    merge,
    newest_only,
    rejected_by,
)
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.changes import Change, KeywordChange, ProductChange
from headrace_schemas.digest import digest_of
from headrace_schemas.embedded import EmbeddedProduct, Embedding
from headrace_schemas.forget_record import Forget

AT = datetime(2026, 1, 1, tzinfo=UTC)
LAMP: Entity = ("product", "lamp")


def product(version: int, title: str | None = "Lamp", id: str = "lamp") -> ProductChange:
    """An upsert, or without a title a delete."""
    return ProductChange(
        op="upsert" if title else "delete", version=version, occurred_at=AT, product_id=id, title=title
    )


def keyword(version: int, text: str | None, id: str) -> KeywordChange:
    return KeywordChange(op="upsert" if text else "delete", version=version, occurred_at=AT, keyword_id=id, text=text)


def published(*changes: Change) -> list[tuple[Change, Position]]:
    return [(change, Position(0, offset)) for offset, change in enumerate(changes)]


CHANGES = st.builds(
    product, st.integers(1, 4), st.sampled_from([None, "Lamp", "Lampe"]), st.sampled_from(["lamp", "rug"])
) | st.builds(keyword, st.integers(1, 4), st.sampled_from([None, "light"]), st.sampled_from(["lamp", "rug"]))
HISTORIES = st.lists(CHANGES, max_size=12).map(lambda changes: published(*changes))


def test_a_version_that_is_taken_back_ends_with_its_record() -> None:
    forget = Forget(kind="product", id="lamp", version=999)

    def versions(*changes: Change | Forget) -> list[int]:
        history = [(change, Position(0, offset)) for offset, change in enumerate(changes)]
        return [found.newest.version for found in fold(history, {}).values()]

    assert versions(product(1), product(999), product(2), forget, product(2)) == [2]
    assert versions(product(1), product(999), forget) == []
    assert versions(product(1), forget) == [1]
    assert versions(product(999), forget, product(999)) == [999]


@given(HISTORIES)
def test_each_entity_is_its_highest_version_by_the_plain_rule(history: list[tuple[Change, Position]]) -> None:
    expected = fold(history, {})
    assert expected.keys() == {(change.kind, change.id) for change, _ in history}
    for (kind, id), found in expected.items():
        of_entity = [change for change, _ in history if (change.kind, change.id) == (kind, id)]
        highest = max(change.version for change in of_entity)
        newest = [change for change in of_entity if change.version == highest]
        assert {content.digest for content in found.contents} == {digest_of(change) for change in newest}
        assert (found.newest.version, found.newest.deleted) == (highest, newest[0].deleted)
        assert found.conflict == (len({digest_of(change) for change in newest}) > 1)


@given(HISTORIES, st.randoms(use_true_random=False))
def test_order_and_duplicates_of_the_reading_do_not_matter(
    history: list[tuple[Change, Position]], random: st.DataObject
) -> None:
    again = [*history, *history[: len(history) // 2]]
    random.shuffle(again)  # type: ignore[attr-defined]
    rejected = {LAMP: frozenset({4})}
    assert fold(again, rejected) == fold(history, rejected)


@given(st.lists(st.builds(product, st.integers(1, 3), st.sampled_from([None, "a", "b"])), min_size=3, max_size=3))
def test_merging_is_associative_commutative_and_idempotent(changes: list[ProductChange]) -> None:
    one, two, three = (expected_of(change, Position(0, offset)) for change, offset in zip(changes, count()))
    assert merge(merge(one, two), three) == merge(one, merge(two, three))
    assert merge(one, two) == merge(two, one)
    assert merge(one, one) == one
    assert newest_only(merge(newest_only(merge(one, two)), three)) == newest_only(merge(merge(one, two), three))


def test_a_conflict_keeps_both_contents_and_the_first_published_is_first() -> None:
    expected = fold(published(product(2, "Lampe"), product(2, "Lamp"), product(2, "Lampe"), product(1)), {})
    assert [content.digest for content in expected[LAMP].contents] == [
        digest_of(product(2, "Lampe")), digest_of(product(2, "Lamp"))
    ]  # fmt: skip
    assert expected[LAMP].newest.position == (0, 0)


def test_a_higher_version_ends_a_conflict() -> None:
    assert not fold(published(product(2, "Lampe"), product(2, "Lamp"), product(3)), {})[LAMP].conflict


def test_the_canary_is_expected_in_no_store() -> None:
    assert fold(published(product(1, id=CANARY_ID)), {}) == {}


def test_a_record_of_embed_brings_the_vector_and_the_digest_of_its_change() -> None:
    vector = Embedding(model="m", content_hash="0" * 64, vector=b"\0\0\x80?")
    change = EmbeddedProduct(**product(1).model_dump(), embedding=vector, digest=digest_of(product(1)))
    newest = expected_of(change, Position(0, 0)).newest
    assert (newest.digest, newest.content_hash, newest.vector) == (digest_of(product(1)), "0" * 64, vector.vector)


def versions(*numbers: int) -> Expected:
    changes = [product(number) for number in numbers]
    return fold(published(*changes), {LAMP: frozenset(numbers)})[LAMP]


def test_only_the_highest_version_is_right_without_a_letter_of_it() -> None:
    assert allowed(versions(1, 2, 3), frozenset()) == {3}
    assert allowed(versions(1, 2, 3), frozenset({1, 2})) == {3}


def test_a_letter_of_the_highest_version_excuses_the_next_that_has_none() -> None:
    assert allowed(versions(1, 2, 3), frozenset({3}), every_version=True) == {3, 2}
    assert allowed(versions(1, 2, 3), frozenset({3, 2}), every_version=True) == {3, 2, 1}
    assert allowed(versions(1, 2), frozenset({2, 1}), every_version=True) == {2, 1, None}


def test_a_store_behind_embed_may_have_read_any_lower_version_or_none() -> None:
    assert allowed(versions(1, 2, 3), frozenset({3})) == {3, 2, 1, None}


def test_letters_count_for_the_workers_of_a_store_only() -> None:
    letters = [Letter("embed", *LAMP, 3), Letter("qdrant", *LAMP, 2), Letter("elasticsearch", *LAMP, 1)]
    assert rejected_by(letters, {"embed", "qdrant"}) == {LAMP: {2, 3}}
    assert rejected_by(letters, {"pgvector"}) == {}
