"""What a comparison found."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from headrace_expected.differences import Finding


@dataclass(frozen=True, slots=True)
class Found:
    """One difference of a store. `key`: where the store has the entity, or would have it."""

    store: str
    finding: Finding
    key: bytes


@dataclass(slots=True)
class StoreReport:
    """`compared`: the entities and link sets that were compared. `forgotten`: the tombstones of entities that the topic
    has no more. `unsettled`: differences that may be only late, because the workers were not finished in time.
    `problem`: why the store was not compared, or not to its end. `notes`: what was not compared.
    """

    store: str
    compared: int = 0
    forgotten: int = 0
    found: list[Found] = field(default_factory=list)
    unsettled: int = 0
    problem: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def counts(self) -> Counter[str]:
        """The number of differences by their name."""
        return Counter(one.finding.difference.value for one in self.found)


@dataclass(slots=True)
class Report:
    """`entities`: the number in the topics. `problem`: why nothing could be compared. `seconds`: how long it took.
    `not_compared`: the workers whose stores have no scan. `repaired`: what differed before a repair and is right now;
    `left`: what a repair left, with the reason.
    """

    stores: list[StoreReport] = field(default_factory=list)
    entities: int = 0
    problem: str = ""
    seconds: float = 0.0
    not_compared: Sequence[str] = ()
    repaired: Sequence[Found] = ()
    left: list[str] = field(default_factory=list)

    @property
    def known(self) -> bool:
        """Whether everything that was to be compared is known to be right or wrong."""
        return bool(self.stores) and not self.problem and not any(one.problem or one.unsettled for one in self.stores)

    @property
    def different(self) -> list[Found]:
        """Every difference."""
        return [found for store in self.stores for found in store.found]

    @property
    def right(self) -> bool:
        """Whether everything is known to be right."""
        return self.known and not self.different
