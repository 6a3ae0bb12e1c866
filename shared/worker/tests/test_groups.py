"""The consumer groups of a worker."""

import pytest

from headrace_worker.settings import WorkerSettings
from headrace_worker.worker import Worker


@pytest.mark.parametrize(
    ("by_model", "second", "group"),
    [(False, False, "t.sink"), (True, False, "t.sink.m1"), (False, True, "t.sink.m1"), (True, True, "t.sink.m1")],
)
def test_the_groups_of_a_second_model_are_its_own(by_model: bool, second: bool, group: str) -> None:
    settings = WorkerSettings(topic_prefix="t.", model="m1", groups_by_model=second)
    worker = Worker("sink", WorkerSettings, by_model=by_model)
    assert worker.group(settings) == group
    assert worker.former_group(settings) == ("t.sink" if by_model else None)
