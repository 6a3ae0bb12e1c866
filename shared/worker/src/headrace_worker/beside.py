"""A second set of a store's physical objects, which `headrace rebuild` fills beside the set that is in use."""

import re
from typing import Any, Literal, Protocol

State = Literal["none", "building", "switched"]
"""none: there is one set. building: a new set is beside the one in use. switched: the new set is in use, and the former
one is kept.
"""
GENERATION = re.compile(r"\.([0-9]+)-")


class Beside(Protocol):
    """Every method raises Unavailable if the store does not answer, and may be repeated after a kill at any moment."""

    async def state(self) -> State:
        """Which sets there are, as the store has them."""
        ...

    async def target(self) -> Any:
        """The settings with which the stage and the stores of the worker open the new set."""
        ...

    async def create(self) -> list[str]:
        """Creates the new set, empty; one line for each object."""
        ...

    async def switch(self) -> list[str]:
        """Puts the new set in use, for readers and writers, in one step; one line for each name that moved."""
        ...

    async def drop_new(self) -> list[str]:
        """Removes a new set that is not in use; one line for each object."""
        ...

    async def drop_old(self) -> list[str]:
        """Removes the former set; one line for each object."""
        ...

    async def close(self) -> None:
        """Closes the connections."""
        ...


def generation_of(name: str) -> int:
    """The number of the set that a physical object belongs to, by its name; the first set has none in its names."""
    found = GENERATION.search(name)
    return int(found[1]) if found else 1


def of_generation(settings: Any, number: int) -> Any:
    """The settings with the names of that set, which nobody else has: a namespace contains no full stop."""
    if number == 1:
        return settings
    return settings.model_copy(update={"namespace": f"{settings.namespace or 'headrace'}.{number}"})
