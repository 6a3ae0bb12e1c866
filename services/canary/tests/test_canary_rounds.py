"""When a search shows a published change: decided from what it finds, without a server."""

from headrace_canary.rounds import MOST, Round, Rounds, Shown


def rounds(*changes: tuple[int, str, float], missing_after: float = 60.0) -> Rounds:
    """`changes`: version, change and the second of the publication."""
    made = Rounds(missing_after)
    for version, change, published in changes:
        made.add(Round(version, change, published))  # type: ignore[arg-type]
    return made


def test_a_change_is_shown_by_its_version_and_by_every_newer_one() -> None:
    waiting = rounds((10, "upsert", 1.0), (20, "upsert", 2.0), (30, "upsert", 3.0))
    assert waiting.see(9, 4.0) == []
    assert waiting.see(20, 5.0) == [Shown("upsert", 4.0, False), Shown("upsert", 3.0, False)]
    assert waiting.see(20, 6.0) == []
    assert waiting.see(31, 7.0) == [Shown("upsert", 4.0, False)]
    assert not waiting


def test_no_canary_is_a_shown_delete_only_after_the_change_before_it_was_shown() -> None:
    waiting = rounds((10, "upsert", 1.0), (20, "delete", 2.0))
    assert waiting.see(None, 3.0) == []
    assert waiting.see(10, 4.0) == [Shown("upsert", 3.0, False)]
    assert waiting.see(10, 4.5) == []
    assert waiting.see(None, 5.0) == [Shown("delete", 3.0, False)]


def test_a_delete_that_no_search_was_quick_enough_to_show_is_shown_by_the_change_after_it() -> None:
    waiting = rounds((10, "upsert", 1.0), (20, "delete", 2.0), (30, "upsert", 3.0))
    assert waiting.see(None, 3.5) == []
    assert [shown.change for shown in waiting.see(30, 4.0)] == ["upsert", "delete", "upsert"]


def test_a_change_becomes_missing_once_and_its_delay_is_still_measured() -> None:
    waiting = rounds((10, "upsert", 0.0), (20, "upsert", 5.0), missing_after=10.0)
    assert waiting.missing(10.0) == 0
    assert waiting.missing(11.0) == 1
    assert waiting.missing(12.0) == 0
    assert waiting.missing(16.0) == 1
    waiting.add(Round(30, "upsert", 16.0))
    assert waiting.see(30, 17.0) == [
        Shown("upsert", 17.0, True), Shown("upsert", 12.0, True), Shown("upsert", 1.0, False),
    ]  # fmt: skip


def test_the_oldest_of_very_many_changes_are_given_up_with_the_delete_that_follows() -> None:
    waiting = rounds((1, "upsert", 0.0), (2, "delete", 0.0), *((n, "upsert", 1.0) for n in range(3, MOST + 2)))
    assert waiting.oldest == 1.0
    assert len(waiting.see(MOST + 2, 2.0)) == MOST - 1
