"""Wrong answers of a model server are found before its vectors are used."""

import numpy as np
import pytest

from headrace_embed.vector_faults import WrongAnswer, faulty_rows
from headrace_worker.stage import Unavailable

UNIT = np.full((3, 4), 0.5, dtype=np.float32)


def test_good_vectors_have_no_fault() -> None:
    assert faulty_rows(UNIT, 3, 4) == {}
    assert faulty_rows(UNIT * np.float32(1.0009), 3, 4) == {}
    assert faulty_rows(np.empty((0, 4), dtype=np.float32), 0, 4) == {}


@pytest.mark.parametrize(("count", "dimension"), [(4, 4), (2, 4), (3, 5)])
def test_another_number_or_length_of_vectors_is_refused(count: int, dimension: int) -> None:
    with pytest.raises(WrongAnswer, match=r"\(3, 4\)"):
        faulty_rows(UNIT, count, dimension)


def test_a_wrong_answer_is_unavailable_and_rejects_no_text() -> None:
    assert issubclass(WrongAnswer, Unavailable)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_only_the_vector_that_is_not_finite_is_faulty(value: float) -> None:
    vectors = UNIT.copy()
    vectors[1, 2] = value
    assert faulty_rows(vectors, 3, 4) == {1: "not finite"}


def test_only_the_vector_that_is_not_of_unit_length_is_faulty() -> None:
    vectors = UNIT.copy()
    vectors[2] *= 1.01
    vectors[0] = 0
    assert faulty_rows(vectors, 3, 4) == {0: "norm 0.0000", 2: "norm 1.0100"}
