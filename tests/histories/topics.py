"""Kafka's part in memory: topics of one partition, what each worker has committed, and what a batch publishes."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headrace_runtime.publisher import Outgoing
from headrace_schemas.headers import CONNECT_OFFSET, CONNECT_TOPIC, REPLAY_OF
from headrace_schemas.receipts import Receipt, Receipts
from headrace_schemas.topics import Topics
from headrace_worker.stage import Unavailable
from histories.records import Headers, Sent, kafka_record
from histories.steps import Lost


@dataclass(slots=True)
class HistoryLog:
    """What there is of one history.

    `topics`: its records by topic, in the order of their offsets. `committed`: by worker and topic, how many of them.
    `receipts`: by worker, topic and offset, every receipt. `letters`: by worker, its dead letters.
    """

    topics: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    committed: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    receipts: dict[tuple[str, str, int], list[Receipt]] = field(default_factory=lambda: defaultdict(list))
    letters: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    replayed: set[tuple[str, int]] = field(default_factory=set)

    def waiting(self, worker: str, topics: Collection[str], most: int) -> list[Any]:
        """The next records of a worker, at most so many of each topic."""
        return [record for topic in topics for record in self._after(worker, topic)[:most]]

    def before(self, worker: str, topics: Collection[str], most: int) -> list[Any]:
        """The last committed records of a worker."""
        ends = {topic: self.committed[worker, topic] for topic in topics}
        return [record for topic, end in ends.items() for record in self.topics[topic][max(0, end - most) : end]]

    def commit(self, worker: str, records: Sequence[Any]) -> None:
        for record in records:
            self.committed[worker, record.topic] += 1

    def rewind(self, worker: str, topics: Collection[str], count: int) -> None:
        for topic in topics:
            self.committed[worker, topic] = max(0, self.committed[worker, topic] - count)

    def _after(self, worker: str, topic: str) -> list[Any]:
        return self.topics[topic][self.committed[worker, topic] :]


class MemoryTopics:
    """The topics of a run. The record of a history has a key that begins with the history's name."""

    def __init__(self, topics: Topics) -> None:
        self.names = topics
        self.logs: dict[str, HistoryLog] = defaultdict(HistoryLog)
        self._offsets: dict[str, int] = defaultdict(int)
        self._history_at: dict[tuple[str, int], str] = {}

    def publish(self, sent: Sent) -> None:
        """Publishes a record of the catalogue."""
        self.append(self.names.source(sent.kind), sent.key, sent.value, sent.headers)

    def append(self, topic: str, key: bytes, value: bytes | None, headers: Headers) -> None:
        offset = self._offsets[topic]
        self._offsets[topic] += 1
        name = history_of(key)
        self._history_at[topic, offset] = name
        self.logs[name].topics[topic].append(kafka_record(topic, offset, key, value, headers))

    def history_at(self, topic: str, offset: int) -> str:
        return self._history_at[topic, offset]


class BatchPublisher:
    """Takes what one batch of a worker publishes.

    `lost`: by history, from where on the worker has crashed. `refuse_after`: Kafka acknowledges nothing after so many
    calls.
    """

    def __init__(
        self, worker: str, topics: MemoryTopics, lost: Mapping[str, Lost], refuse_after: int | None = None
    ) -> None:
        self._worker = worker
        self._topics = topics
        self._lost = lost
        self._refuse_after = refuse_after
        self.letters = 0
        self.receipts = 0

    async def publish(self, records: Sequence[Outgoing]) -> None:
        if not records:
            return
        if self._refuse_after is not None:
            if self._refuse_after <= 0:
                raise Unavailable("kafka", "not acknowledged")
            self._refuse_after -= 1
        for record in records:
            if record.topic == self._topics.names.receipts:
                self._take_receipts(Receipts.model_validate_json(record.value or b""))
            elif self._lost.get(name := history_of(record.key or b"")) != "all":
                headers = [(str(header), value) for header, value in record.headers]
                if record.topic == self._topics.names.dead(self._worker):
                    self.letters += 1
                    self._topics.logs[name].letters[self._worker].append(
                        kafka_record(record.topic, self.letters, record.key, record.value, headers)
                    )
                else:
                    self._topics.append(record.topic, record.key or b"", record.value, headers)

    def _take_receipts(self, receipts: Receipts) -> None:
        for receipt in receipts.receipts:
            self.receipts += 1
            name = self._topics.history_at(receipt.topic, receipt.offset)
            if self._lost.get(name) not in ("all", "receipts"):
                self._topics.logs[name].receipts[self._worker, receipt.topic, receipt.offset].append(receipt)


def history_of(key: bytes) -> str:
    return key.partition(b"-")[0].decode()


def origin_of(letter: Any) -> tuple[str, int]:
    """Topic and offset of the record that failed first."""
    found = dict(letter.headers)
    return found[CONNECT_TOPIC].decode(), int(found[CONNECT_OFFSET])


def is_replay(record: Any) -> bool:
    return REPLAY_OF in dict(record.headers)
