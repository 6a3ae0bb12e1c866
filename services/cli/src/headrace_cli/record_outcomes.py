"""What became of the records in some ranges of offsets, in one byte for each offset.

Receipts and dead letters are put in any order and any number of times: of two outcomes of one record the one that
matters more to an operator stays. So a redelivery changes nothing, and a dead letter is not hidden by a later receipt.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from aiokafka import TopicPartition

from headrace_schemas.receipts import ReceiptOutcome

UNANSWERED, NO_RECORD, IGNORED, SUPERSEDED, APPLIED, CONFLICT, DEAD = range(7)
FIRST_CAUSE = DEAD + 1
REPLAY_SUPERSEDED, REPLAY_APPLIED = 254, 255
OTHER_CAUSE = REPLAY_SUPERSEDED - 1
"""The causes above the number that a byte can tell apart are counted as one."""
CODES: Mapping[str, int] = {
    "ignored": IGNORED,
    "superseded": SUPERSEDED,
    "applied": APPLIED,
    "conflict": CONFLICT,
    "dead": DEAD,
}
LONGEST_RANGE = 2**28
"""Offsets. A receipt that is further behind the beginning of a range is wrong."""


class Part(NamedTuple):
    """One partition as one worker reads it."""

    worker: str
    partition: TopicPartition


@dataclass(frozen=True, slots=True)
class Cause:
    """Why records became dead letters. `example`: the error of one of them, which may contain values."""

    fingerprint: str
    reason: str
    example: str


UNKNOWN_CAUSE = Cause("", "not known", "the receipt was found, the dead letter was not")
OTHERS = Cause("", "other causes", "")


@dataclass(frozen=True, slots=True)
class Counts:
    """How many records of one topic have each outcome at one worker. `dead`: by cause.

    `by_replay`: those of `applied` and `superseded` that were dead letters and then replayed. `unanswered`: there is no
    receipt of them.
    """

    worker: str
    topic: str
    applied: int
    superseded: int
    conflict: int
    dead: Mapping[Cause, int]
    ignored: int
    unanswered: int
    by_replay: int

    @property
    def records(self) -> int:
        """All records."""
        return self.applied + self.superseded + self.conflict + self.dead_letters + self.ignored + self.unanswered

    @property
    def dead_letters(self) -> int:
        """The records that are dead letters."""
        return sum(self.dead.values())


class Range:
    """The offsets from `begin` up to `end`, exclusive. What is put beyond the end counts when the end moves up."""

    def __init__(self, begin: int) -> None:
        self.begin = begin
        self.end: int | None = None
        self._put = bytearray()

    @property
    def codes(self) -> bytearray:
        """The outcomes up to the end; without an end those that were put."""
        return self._put if self.end is None else self._put[: self.end - self.begin]

    def pin(self, end: int) -> None:
        """The range ends here. A later call may move the end up, not down."""
        self.end = max(end, self.begin, self.end or 0)
        self._grow(self.end - self.begin)

    def put(self, offset: int, code: int) -> None:
        """The outcome of one record; without effect before the range, or very far behind its beginning."""
        place = offset - self.begin
        if 0 <= place < LONGEST_RANGE:
            self._grow(place + 1)
            self._put[place] = max(code, self._put[place])

    def unanswered(self) -> tuple[int, int] | None:
        """The first unanswered offset and the one after the last; None if all are answered."""
        codes = self.codes
        first = codes.find(UNANSWERED)
        return None if first < 0 else (self.begin + first, self.begin + codes.rfind(UNANSWERED) + 1)

    def _grow(self, size: int) -> None:
        if size > len(self._put):
            self._put.extend(bytes(size - len(self._put)))


class RecordOutcomes:
    """The ranges of all workers. `begins`: the first offset of each."""

    def __init__(self, begins: Mapping[Part, int]) -> None:
        self._ranges = {part: Range(begin) for part, begin in begins.items()}
        self._causes: dict[str, int] = {}
        self._of_code: dict[int, Cause] = {DEAD: UNKNOWN_CAUSE, OTHER_CAUSE: OTHERS}

    def pin(self, worker: str, ends: Mapping[TopicPartition, int]) -> None:
        """The ends of a worker's partitions."""
        for partition, end in ends.items():
            if found := self._ranges.get(Part(worker, partition)):
                found.pin(end)

    def put(self, part: Part, reports: Iterable[tuple[int, ReceiptOutcome]]) -> None:
        """What receipts say of records of one partition: offsets and outcomes."""
        if found := self._ranges.get(part):
            for offset, outcome in reports:
                found.put(offset, CODES.get(outcome, UNANSWERED))

    def put_replay(self, part: Part, offset: int, outcome: ReceiptOutcome) -> None:
        """What a receipt says of the replay of a record's dead letter. If it failed again, the record stays dead."""
        if (found := self._ranges.get(part)) and outcome in ("applied", "superseded", "conflict"):
            found.put(offset, REPLAY_APPLIED if outcome == "applied" else REPLAY_SUPERSEDED)

    def put_letter(self, part: Part, offset: int, cause: Cause) -> None:
        """There is a dead letter of the record."""
        if found := self._ranges.get(part):
            found.put(offset, self._code(cause))

    def no_record(self, partition: TopicPartition, offsets: Iterable[int]) -> None:
        """There is no record at these offsets: they are of an aborted transaction or a marker, or compacted."""
        ranges = [found for part, found in self._ranges.items() if part.partition == partition]
        for offset in offsets:
            for found in ranges:
                found.put(offset, NO_RECORD)

    def pinned(self) -> Iterator[tuple[Part, Range]]:
        """The ranges that have an end and are not empty."""
        for part, found in self._ranges.items():
            if found.end is not None and found.codes:
                yield part, found

    def records_on(self, topics: Collection[str]) -> int:
        """How many records of these topics are in a range of any worker."""
        most: dict[TopicPartition, int] = {}
        for part, found in self.pinned():
            if part.partition.topic in topics:
                records = len(found.codes) - found.codes.count(NO_RECORD)
                most[part.partition] = max(records, most.get(part.partition, 0))
        return sum(most.values())

    def counts(self) -> list[Counts]:
        """The counts of each worker and topic that has records, in the order of their names."""
        sums: dict[tuple[str, str], Counter[int]] = {}
        for part, found in self.pinned():
            sums.setdefault((part.worker, part.partition.topic), Counter()).update(found.codes)
        every = [self._counts(worker, topic, codes) for (worker, topic), codes in sorted(sums.items())]
        return [counts for counts in every if counts.records]

    def _counts(self, worker: str, topic: str, codes: Counter[int]) -> Counts:
        return Counts(
            worker,
            topic,
            applied=codes[APPLIED] + codes[REPLAY_APPLIED],
            superseded=codes[SUPERSEDED] + codes[REPLAY_SUPERSEDED],
            conflict=codes[CONFLICT],
            dead={self._of_code[code]: number for code, number in codes.items() if DEAD <= code <= OTHER_CAUSE},
            ignored=codes[IGNORED],
            unanswered=codes[UNANSWERED],
            by_replay=codes[REPLAY_APPLIED] + codes[REPLAY_SUPERSEDED],
        )

    def _code(self, cause: Cause) -> int:
        known = self._causes.get(cause.fingerprint)
        if known is None:
            known = FIRST_CAUSE + len(self._causes)
            if known >= OTHER_CAUSE:
                return OTHER_CAUSE
            self._causes[cause.fingerprint], self._of_code[known] = known, cause
        return known
