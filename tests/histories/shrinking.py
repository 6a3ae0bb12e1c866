"""Smaller versions of a history."""

from collections.abc import Iterator
from dataclasses import replace

from histories.steps import History, Malformed, Publish, Read, Step


def smaller(history: History) -> list[History]:
    """Histories that are smaller than this one, the smallest first: without some steps, or with a simpler step."""
    steps = history.steps
    return [replace(history, steps=tuple(fewer)) for fewer in (*_without_steps(steps), *_with_simpler_steps(steps))]


def _without_steps(steps: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    size = len(steps) // 2
    while size >= 1:
        for start in range(0, len(steps), size):
            if fewer := steps[:start] + steps[start + size :]:
                yield fewer
        size //= 2


def _with_simpler_steps(steps: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    for place, step in enumerate(steps):
        for simpler in _simpler(step):
            yield (*steps[:place], simpler, *steps[place + 1 :])


def _simpler(step: Step) -> Iterator[Step]:
    if isinstance(step, Read):
        if step.lost:
            yield replace(step, lost="")
        if step.stale:
            yield replace(step, stale=0)
    elif isinstance(step, Publish):
        if step.null:
            yield replace(step, null=False)
        if step.content:
            yield replace(step, content=0)
    elif isinstance(step, Malformed) and step.defect != "empty":
        yield replace(step, defect="empty")
