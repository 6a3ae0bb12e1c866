"""Each way in which a store can differ is found and named, and nothing else is."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_expected.differences import Comparison, Difference, Finding, StoredEntity
from headrace_expected.entities import Entity, Expected, Position, Published
from headrace_schemas.canary import CANARY_ID

MODEL = "m"
VECTOR = np.array([0.6, 0.8], "<f4").tobytes()
LIVE = Published(3, Position(0, 5), False, "1:3:live", "c" * 64, VECTOR)
OTHER = replace(LIVE, digest="1:3:other", position=Position(0, 6))
GONE = Published(2, Position(0, 4), True, "1:2:gone")


def expected(**entities: tuple[Published, ...]) -> dict[Entity, Expected]:
    return {("product", id): Expected("product", id, contents) for id, contents in entities.items()}


EXPECTED = expected(lamp=(LIVE,), gone=(GONE,))
STORED = {
    "lamp": StoredEntity("lamp", 3, False, "1:3:live", MODEL, "c" * 64, VECTOR),
    "gone": StoredEntity("gone", 2, True, "1:2:gone"),
}


def found(stored: Iterable[StoredEntity], wanted: dict[Entity, Expected] = EXPECTED) -> list[tuple[str, Difference]]:
    return [
        (finding.id, finding.difference) for finding in Comparison({}, MODEL).differences("product", wanted, stored)
    ]


def test_a_store_that_holds_the_newest_versions_has_no_difference() -> None:
    assert found(STORED.values()) == []


@pytest.mark.parametrize(
    ("id", "change", "difference"),
    [
        ("lamp", {"version": 2}, Difference.STALE),
        ("lamp", {"version": 2, "deleted": True}, Difference.STALE),
        ("lamp", {"version": 4}, Difference.AHEAD),
        ("lamp", {"deleted": True}, Difference.WRONG_CONTENT),
        ("lamp", {"digest": "1:3:planted"}, Difference.WRONG_CONTENT),
        ("lamp", {"model": None}, Difference.MISSING_VECTOR),
        ("lamp", {"model": "another"}, Difference.WRONG_MODEL),
        ("lamp", {"content_hash": "d" * 64}, Difference.WRONG_VECTOR),
        ("lamp", {"vector": np.array([0.8, 0.6], "<f4").tobytes()}, Difference.WRONG_VECTOR),
        ("lamp", {"vector": VECTOR + VECTOR}, Difference.WRONG_VECTOR),
        ("gone", {"deleted": False, "version": 1}, Difference.RESURRECTED),
        ("gone", {"deleted": False}, Difference.RESURRECTED),
        ("gone", {"version": 1}, Difference.STALE),
    ],
)
def test_every_change_of_an_entity_is_found(id: str, change: dict[str, Any], difference: Difference) -> None:
    stored = STORED | {id: replace(STORED[id], **change)}
    assert found(stored.values()) == [(id, difference)]


@pytest.mark.parametrize(
    "change",
    [{"digest": None}, {"content_hash": None}, {"vector": None}, {"digest": "2:3:form"}, {"digest": "1:2:old"}],
)
def test_what_is_not_known_is_not_compared(change: dict[str, Any]) -> None:
    assert found([replace(STORED["lamp"], **change), STORED["gone"]]) == []


def test_a_vector_that_was_normalised_again_is_the_same() -> None:
    again = (np.frombuffer(VECTOR, "<f4") * np.float32(1.000001)).tobytes()
    assert found([replace(STORED["lamp"], vector=again), STORED["gone"]]) == []


def test_missing_extra_and_repeated_entities_and_an_unknown_tombstone_are_found() -> None:
    stored = [STORED["lamp"], STORED["lamp"], StoredEntity("new", 1, False), StoredEntity("old", 1, True)]
    assert set(found(stored)) == {
        ("lamp", Difference.EXTRA),
        ("new", Difference.EXTRA),
        ("old", Difference.AHEAD),
        ("gone", Difference.MISSING),
    }


def test_other_kinds_and_the_canary_are_not_compared() -> None:
    keyword = {("keyword", "light"): Expected("keyword", "light", (LIVE,))}
    assert found([*STORED.values(), StoredEntity(CANARY_ID, 1, True)], EXPECTED | keyword) == []


@pytest.mark.parametrize("digest", ["1:3:live", "1:3:other"])
def test_either_content_of_a_conflict_is_named_a_conflict(digest: str) -> None:
    wanted = expected(lamp=(LIVE, OTHER), gone=(GONE,))
    assert found([replace(STORED["lamp"], digest=digest), STORED["gone"]], wanted) == [("lamp", Difference.CONFLICT)]


def test_a_third_content_of_a_conflict_is_wrong() -> None:
    wanted = expected(lamp=(LIVE, OTHER), gone=(GONE,))
    stored = [replace(STORED["lamp"], digest="1:3:third"), STORED["gone"]]
    assert found(stored, wanted) == [("lamp", Difference.WRONG_CONTENT)]


def of_letters(stored: StoredEntity | None, *versions: int) -> Finding | None:
    older = replace(LIVE, version=2, digest="1:2:live")
    wanted = Expected("product", "lamp", (LIVE, older))
    rejected = {("product", "lamp"): frozenset(versions)}
    return Comparison(rejected, every_version=True).difference("product", "lamp", wanted, stored)  # type: ignore[arg-type]


def test_a_letter_excuses_the_next_newest_version_with_its_own_content() -> None:
    older = StoredEntity("lamp", 2, False, "1:2:live")
    assert of_letters(older, 3) is None
    assert of_letters(STORED["lamp"], 3) is None
    assert of_letters(None, 2, 3) is None
    assert _of(of_letters(replace(older, digest="1:2:planted"), 3)) == Difference.WRONG_CONTENT
    assert _of(of_letters(older, 2)) == Difference.STALE
    assert _of(of_letters(replace(older, version=1), 3)) == Difference.STALE
    assert _of(of_letters(None, 3)) == Difference.MISSING


def _of(finding: Finding | None) -> Difference | None:
    return finding.difference if finding else None


def test_a_conflict_and_a_store_that_is_ahead_are_no_faults_of_the_store() -> None:
    assert {difference for difference in Difference if not difference.wrong} == {Difference.CONFLICT, Difference.AHEAD}


CONTENTS = st.builds(
    lambda version, deleted, name: Published(version, Position(0, 0), deleted, f"1:{version}:{deleted}{name}"),
    st.integers(1, 3), st.booleans(), st.sampled_from("ab"),
)  # fmt: skip


@given(CONTENTS, CONTENTS)
def test_a_store_is_right_exactly_if_it_holds_the_published_content(wanted: Published, held: Published) -> None:
    stored = StoredEntity("lamp", held.version, held.deleted, held.digest)
    differs = found([stored], expected(lamp=(wanted,)))
    if stored.version == wanted.version and stored.digest == wanted.digest:
        assert all(difference == Difference.MISSING_VECTOR for _, difference in differs)
    else:
        (difference,) = (difference for _, difference in differs)
        assert (difference == Difference.AHEAD) == (held.version > wanted.version)
        assert (difference == Difference.RESURRECTED) == (
            wanted.deleted and not held.deleted and held.version <= wanted.version
        )
