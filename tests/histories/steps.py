"""The steps of a history: what a catalogue publishes, how workers read it, and what an operator does.

A history is plain data, so that a failing one is printed, stored as JSON, and run again.
"""

import json
from dataclasses import astuple, dataclass, fields
from typing import Literal, get_args

Lost = Literal["", "all", "receipts", "commit"]
"""From where on a crash loses the effects of a batch after its write: nothing is published, receipts are not, or
everything is published and not committed.
"""


@dataclass(frozen=True, slots=True)
class Publish:
    """A change of an entity. `content`: which one of a few texts and prices; None is a delete, as a null record with
    `null`.
    """

    entity: int
    version: int
    content: int | None
    null: bool = False


@dataclass(frozen=True, slots=True)
class Malformed:
    """A record that no worker may apply. `defect`: of `headrace_demo.catalogue.malformed_records`, or "oversized"."""

    entity: int
    version: int
    defect: str


@dataclass(frozen=True, slots=True)
class Read:
    """A worker takes its next `count` records through its path. `lost`: it crashes then. `stale`: at the same time
    another copy, which does not know yet that it has lost the partition, writes so many of the records before.
    """

    worker: str
    count: int
    lost: Lost = ""
    stale: int = 0


@dataclass(frozen=True, slots=True)
class Rewind:
    """A rebalance gives the partition to a copy that knows an older committed offset."""

    worker: str
    count: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """From now on the store of a worker refuses a version of an entity because of its data."""

    worker: str
    entity: int
    version: int


@dataclass(frozen=True, slots=True)
class Mend:
    """No store refuses a change any more."""


@dataclass(frozen=True, slots=True)
class Replay:
    """An operator sends every letter of a worker again."""

    worker: str


@dataclass(frozen=True, slots=True)
class Edit:
    """An operator replaces each letter of a worker that is no duplicate by a valid change, if the stores allow it."""

    worker: str


Step = Publish | Malformed | Read | Rewind | Refuse | Mend | Replay | Edit
STEPS: dict[str, type[Step]] = {step.__name__.lower(): step for step in get_args(Step)}


@dataclass(frozen=True, slots=True)
class History:
    """`name`: unique; the ids of its entities begin with it."""

    name: str
    steps: tuple[Step, ...]

    def id(self, entity: int) -> str:
        """The id of one of its entities. Those with an even number are products, the others keywords."""
        return f"{self.name}-{'abcdef'[entity]}"


def to_json(history: History) -> str:
    """Its steps, one a line."""
    steps = (json.dumps([type(step).__name__.lower(), *_values(step)]) for step in history.steps)
    return "[\n" + ",\n".join(f"  {step}" for step in steps) + "\n]\n"


def from_json(text: str) -> History:
    """The opposite of `to_json`, without a name."""
    return History("", tuple(STEPS[name](*values) for name, *values in json.loads(text)))


def printed(history: History) -> str:
    """One step a line."""
    return "\n".join(f"  {number:2}  {step}" for number, step in enumerate(history.steps, 1))


def _values(step: Step) -> list[object]:
    """Without defaults at the end."""
    values = list(astuple(step))
    for described in reversed(fields(step)):
        if not values or values[-1] != described.default:
            break
        values.pop()
    return values
