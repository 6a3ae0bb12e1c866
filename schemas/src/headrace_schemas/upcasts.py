"""How a record of an older schema major becomes one of the current major.

A step is a pure function of the record's JSON object, registered by the record's name and the major that it starts
from. A reader goes through as many as it takes, when it reads a topic and when a dead letter is replayed, so what was
written before a deploy that raises the major is read after it.

To raise a record's major: set `schema_major` on its model, and add here the step from the major before.
"""

from collections.abc import Callable
from typing import Any

Upcast = Callable[[dict[str, Any]], dict[str, Any]]

UPCASTS: dict[tuple[str, int], Upcast] = {}
"""(record name, from major) to the step to the next major. No record has changed its major yet."""


class NoUpcast(Exception):
    """No step leads on from a major; `major` says from which."""

    def __init__(self, name: str, major: int) -> None:
        super().__init__(f"no upcaster is registered from {name}/{major} to {name}/{major + 1}")
        self.major = major


def brought_up(name: str, record: dict[str, Any], major: int, to: int) -> dict[str, Any]:
    """The record of that name and major as the major `to` writes it.

    Raises NoUpcast where a step is missing, and whatever a step raises on a record that is not what it takes it for.
    """
    for step in range(major, to):
        if (name, step) not in UPCASTS:
            raise NoUpcast(name, step)
        record = UPCASTS[name, step](record)
    return record
