"""A history is plain data that a seed decides."""

from histories.generator import history, named
from histories.shrinking import smaller
from histories.steps import STEPS, from_json, to_json

HISTORIES = [history(3, number) for number in range(300)]


def test_a_seed_and_a_number_always_make_the_same_history() -> None:
    assert [history(3, number) for number in range(300)] == HISTORIES
    assert len({one.steps for one in HISTORIES}) == len(HISTORIES)
    assert history(4, 0) != HISTORIES[0]


def test_every_kind_of_step_is_made() -> None:
    assert {type(step) for one in HISTORIES for step in one.steps} == set(STEPS.values())


def test_two_runs_of_one_history_have_different_names() -> None:
    first, second = named(HISTORIES[:2]), named(HISTORIES[:2])
    assert len({one.name for one in (*first, *second)}) == 4


def test_a_history_is_read_from_its_own_text() -> None:
    assert [from_json(to_json(one)) for one in HISTORIES] == HISTORIES


def test_smaller_histories_have_fewer_or_simpler_steps() -> None:
    for one in HISTORIES[:20]:
        assert all(len(fewer.steps) <= len(one.steps) and fewer != one for fewer in smaller(one))
        assert sum(len(fewer.steps) == len(one.steps) - 1 for fewer in smaller(one)) >= len(one.steps)
