"""What a store contains in the end: the newest change, or the highest accepted one of those that its worker has read.

A worker like embed passes changes on to a sink, and another sink reads the source topic itself, as Elasticsearch does.
Both stores are in memory. Histories, batches, redelivered batches and rejected versions are random.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from harness.kafka_record import kafka_record
from harness.memory import MemoryStage
from harness.records import product
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_runtime.attempts import Attempts, RetryLoop
from headrace_runtime.decoder import Decoded
from headrace_runtime.stopping import Stopping
from headrace_schemas.changes import ProductChange
from headrace_worker.settings import BatchSettings
from headrace_worker.stage import Applied, Outcome, Output, Rejected

NAMES = ("a", "b")
NEWEST = 6
Change = tuple[str, int]
"""The id and the version."""
Batch = list[Change]


class Refusing(MemoryStage):
    """Rejects some changes, always the same ones."""

    def __init__(self, refused: frozenset[Change]) -> None:
        super().__init__()
        self.refused = refused

    def apply_one(self, change: Any) -> Outcome:
        if (change.id, change.version) in self.refused:
            return Rejected("refused_by_store", "is refused", ("memory",))
        return super().apply_one(change)


class Passing(Refusing):
    """Like embed: has no store, and passes each change on."""

    def apply_one(self, change: Any) -> Outcome:
        if (change.id, change.version) in self.refused:
            return Rejected("invalid", "is refused", ("model",))
        return Applied((Output("embedded", change.id.encode(), str(change.version).encode()),))


class Worker:
    """A stage behind the runtime's own decisions. `rejected`: its dead letters. `passed_on`: what it published."""

    def __init__(self, stage: Refusing) -> None:
        self.stage = stage
        self.rejected: set[Change] = set()
        self.passed_on: list[Change] = []
        self.read: set[Change] = set()
        self._loop = RetryLoop(
            Attempts(stage, timeout=5.0, poison_tries=5),
            BatchSettings(),
            Stopping(),
            publish=self._publish,
            max_output_bytes=1000,
            on_unavailable=lambda error: None,
        )

    async def take(self, batch: Batch) -> None:
        """Takes one batch, and checks that no version in the store decreases."""
        self.read |= set(batch)
        before = self.stage.versions()
        answered = await self._loop.answers(map(decoded, batch))
        assert len(answered) == len(batch)
        self.rejected |= {(one.change.id, one.change.version) for one in answered if one.rejection}
        after = self.stage.versions()
        assert all(after[id] >= version for id, version in before.items())

    async def _publish(self, outputs: Sequence[tuple[Decoded, Output]]) -> None:
        self.passed_on += [(output.key.decode(), int(output.value)) for _, output in outputs]

    def check(self) -> None:
        """The store contains the highest accepted change of those that were read, and none if none was accepted."""
        accepted = self.read - self.stage.refused
        highest = {id: max(version for other, version in accepted if other == id) for id, _ in accepted}
        assert self.stage.versions() == highest


def decoded(change: Change) -> Decoded:
    value = product(*change, occurred_at="2026-01-01T00:00:00Z")
    return Decoded(kafka_record(value), ProductChange.model_validate(value))


class Case(NamedTuple):
    """`batches`: of the source topic as embed reads them, some of them again after a crash. `sizes`: of the batches in
    which the sinks read. `refused`: of embed, of the sink after it, of the sink that reads the source topic.
    """

    batches: list[Batch]
    sizes: list[int]
    refused: tuple[frozenset[Change], frozenset[Change], frozenset[Change]]


changes = st.tuples(st.sampled_from(NAMES), st.integers(1, NEWEST))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    batches = draw(st.lists(st.lists(changes, min_size=1, max_size=6), min_size=1, max_size=5))
    # A crash before the commit: some batches are read again, in other parts and beside later records.
    for start in draw(st.lists(st.integers(0, len(batches) - 1), max_size=2)):
        again = [change for batch in batches[start:] for change in batch]
        cut = draw(st.integers(1, len(again)))
        batches += [part for part in (again[:cut], again[cut:]) if part]
    some = st.frozensets(changes, max_size=6)
    return Case(batches, draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)), draw(st.tuples(some, some, some)))


def in_batches(records: Sequence[Change], sizes: Sequence[int]) -> list[Batch]:
    """The records in batches of these sizes, one after the other, again and again."""
    batches, start = [], 0
    while start < len(records):
        size = sizes[len(batches) % len(sizes)]
        batches.append(list(records[start : start + size]))
        start += size
    return batches


async def run(case: Case) -> tuple[Worker, Worker, Worker]:
    """Returns embed, the sink after it, and the sink that reads the source topic."""
    of_embed, of_sink, of_direct = case.refused
    embed, sink, direct = Worker(Passing(of_embed)), Worker(Refusing(of_sink)), Worker(Refusing(of_direct))
    for batch in case.batches:
        await embed.take(batch)
    for batch in in_batches(embed.passed_on, case.sizes):
        await sink.take(batch)
    for batch in in_batches(records_of(case), case.sizes):
        await direct.take(batch)
    return embed, sink, direct


def records_of(case: Case) -> list[Change]:
    return [change for batch in case.batches for change in batch]


@settings(max_examples=60, deadline=None)
@given(cases())
def test_a_store_ends_with_the_newest_change_or_it_is_a_dead_letter(case: Case) -> None:
    embed, sink, direct = asyncio.run(run(case))
    records = records_of(case)
    for id in {id for id, _ in records}:
        newest = id, max(version for other, version in records if other == id)
        assert (newest in direct.rejected) == (direct.stage.versions().get(id) != newest[1])
        assert (newest in embed.rejected | sink.rejected) == (sink.stage.versions().get(id) != newest[1])
    direct.check()
    sink.check()


@settings(max_examples=60, deadline=None)
@given(cases())
def test_the_next_accepted_change_ends_every_difference(case: Case) -> None:
    last = [(name, NEWEST + 1) for name in NAMES]
    _, sink, direct = asyncio.run(run(case._replace(batches=[*case.batches, last])))
    assert sink.stage.versions() == direct.stage.versions() == dict(last)


@settings(max_examples=30, deadline=None)
@given(cases(), st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_the_batches_of_a_sink_change_nothing(case: Case, sizes: list[int]) -> None:
    _, sink, direct = asyncio.run(run(case))
    _, other_sink, other_direct = asyncio.run(run(case._replace(sizes=sizes)))
    assert other_sink.stage.versions() == sink.stage.versions()
    assert other_direct.stage.versions() == direct.stage.versions()


def test_the_batches_of_embed_decide_which_older_change_a_later_sink_contains() -> None:
    """This is why no more is promised: embed passes on one version of each entity of a batch."""
    refused = (frozenset[Change](), frozenset({("a", 5)}), frozenset[Change]())
    apart = Case([[("a", 3)], [("a", 4)], [("a", 5)]], [1], refused)
    together = apart._replace(batches=[[("a", 3)], [("a", 4), ("a", 5)]])
    assert [asyncio.run(run(case))[1].stage.versions() for case in (apart, together)] == [{"a": 4}, {"a": 3}]
