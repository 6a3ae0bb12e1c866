"""Conversion of a record of an older schema major to the current major.

A step is a pure function of the record's JSON object, registered by the record's name and the major that it converts
from. A reader applies all steps up to its own major, to topics and to replayed dead letters, so that it can read
records from before the deploy that raised the major.

To raise a record's major: set `schema_major` on its model, and add here the step from the major before.
"""

from collections.abc import Callable
from typing import Any

Upcast = Callable[[dict[str, Any]], dict[str, Any]]

UPCASTS: dict[tuple[str, int], Upcast] = {}
"""(record name, from major) to the step to the next major. No record has changed its major yet."""


class NoUpcast(Exception):
    """There is no step from `major` to the next."""

    def __init__(self, name: str, major: int) -> None:
        super().__init__(f"no upcaster is registered from {name}/{major} to {name}/{major + 1}")
        self.major = major


def upgraded(name: str, record: dict[str, Any], major: int, to: int) -> dict[str, Any]:
    """The record of that name and major, converted to the major `to`.

    Raises NoUpcast if a step is missing, and any error that a step raises for a record that violates its schema.
    """
    for step in range(major, to):
        if (name, step) not in UPCASTS:
            raise NoUpcast(name, step)
        record = UPCASTS[name, step](record)
    return record
