"""Which version an edit gets: the rule, for every state of the stores."""

from typing import Any, NamedTuple

import pytest

from headrace_letters.edit_version import edit_version
from headrace_schemas.fields import MAX_VERSION


class Held(NamedTuple):
    version: int
    deleted: bool = False


def stored(*held: Held) -> dict[str, Any]:
    return dict(zip(("elasticsearch", "pgvector", "qdrant"), held, strict=False))


@pytest.mark.parametrize(
    ("own", "held", "given", "outcome", "version"),
    [
        (5, [], None, "takes", 5),
        (5, [Held(3), Held(4)], None, "takes", 5),
        (5, [Held(4, True)], None, "takes", 5),
        (5, [Held(3), Held(6)], None, "refused", None),
        (5, [Held(3), Held(6)], 9, "refused", None),
        (5, [Held(6, True)], 9, "refused", None),
        (5, [Held(5), Held(5, True)], 9, "refused", None),
        (5, [Held(3), Held(5)], None, "needs", None),
        (5, [Held(3), Held(5)], 5, "refused", None),
        (5, [Held(3), Held(5)], 6, "takes", 6),
        (None, [], None, "needs", None),
        (None, [Held(3), Held(7)], None, "needs", None),
        (None, [Held(3), Held(7)], 7, "refused", None),
        (None, [Held(3), Held(7)], 4, "refused", None),
        (None, [Held(3), Held(7)], 8, "takes", 8),
        (None, [Held(7, True)], 8, "takes", 8),
        (5, [Held(3)], 3, "refused", None),
        (5, [Held(3)], 5, "takes", 5),
        (None, [], MAX_VERSION, "takes", MAX_VERSION),
        (None, [], MAX_VERSION + 1, "refused", None),
        (1, [], None, "takes", 1),
    ],
)
def test_an_edit_never_gets_a_version_that_is_stored_or_older_than_what_is_stored(
    own: int | None, held: list[Held], given: int | None, outcome: str, version: int | None
) -> None:
    decided = edit_version(own, stored(*held), given=given)
    assert (decided.outcome, decided.version) == (outcome, version)
    assert decided.why or decided.version == own


def test_the_reason_names_the_stores_that_are_in_the_way() -> None:
    newer = edit_version(2, stored(Held(1), Held(3), Held(4, True)))
    assert newer.why == "pgvector has version 3, qdrant has a delete of version 4, and the letter has version 2"
    equal = edit_version(2, stored(Held(1), Held(2)))
    assert equal.why.startswith("pgvector has version 2: give a version above 2, as new_version or with --version")
    assert "would then be a conflict" in equal.why
    assert "conflict" in edit_version(2, stored(Held(2)), given=3).why


def test_an_operator_reads_what_becomes_of_the_edit_and_why() -> None:
    assert str(edit_version(5, {})) == "takes version 5"
    assert str(edit_version(5, {}, given=6)) == (
        "takes version 6: the catalogue's own version 6 would then be a conflict"
    )
    unreadable = "needs a version: the letter has no readable version: give one, as new_version or with --version; "
    assert str(edit_version(None, {})).startswith(unreadable)
    assert str(edit_version(2, stored(Held(3)))) == (
        "is refused: elasticsearch has version 3, and the letter has version 2"
    )


def test_two_edits_of_one_entity_get_versions_of_their_own() -> None:
    assert edit_version(8, {}, taken=7).version == 8
    assert edit_version(7, {}, taken=8).outcome == "refused"
    assert edit_version(None, {}, given=8, taken=8).outcome == "refused"
