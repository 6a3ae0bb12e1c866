"""No record, file or request raises anything but the documented error. `make fuzz` tries more inputs."""

import pytest
from hypothesis import HealthCheck, seed, settings

from fuzz.files import reading
from fuzz.records import decoding, letters
from fuzz.values import Target


def tried(target: Target, inputs: int) -> None:
    options = settings(max_examples=inputs, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    seed(1)(options(target.test()))()


def test_every_record_has_an_outcome() -> None:
    tried(decoding, 150)


def test_every_record_can_be_read_as_a_dead_letter() -> None:
    tried(letters, 100)


def test_every_file_is_read_or_says_why_not() -> None:
    tried(reading, 150)


@pytest.mark.long
@pytest.mark.parametrize("target", [decoding, letters, reading], ids=["records", "letters", "files"])
def test_many_inputs_raise_nothing_but_the_documented_error(target: Target) -> None:
    tried(target, 20_000)
