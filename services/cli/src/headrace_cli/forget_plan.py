"""What `headrace forget` does about one version of an entity, from the stores and the source topic, and how it is done.

The source topic keeps the wrong record until compaction removes it, so it must become right as well: a record that
takes the version back follows it, and then the newest other change of the entity once more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headrace_clients.kafka import producer
from headrace_clients.topic_reader import open_topics
from headrace_letters.installed_stores import InstalledStores
from headrace_runtime.decoder import Decoded, Decoder, Position, position
from headrace_schemas import headers
from headrace_schemas.changes import CHANGES
from headrace_schemas.fields import Kind
from headrace_schemas.forget_record import Forget
from headrace_worker.settings import CommonSettings
from headrace_worker.store import Stored


@dataclass(frozen=True, slots=True)
class ForgetPlan:
    """`stored`: by store what it has of the entity; None for nothing. `wrong`: where the source topic has the version.
    `again`: the newest other change of the entity there, which is published again; None if there is none.
    """

    kind: Kind
    id: str
    version: int
    stored: Mapping[str, Stored | None]
    wrong: Sequence[Position]
    again: Decoded | None

    @property
    def found(self) -> bool:
        """Whether a store or the topic has the version."""
        return bool(self.wrong) or any(one is not None and one.version == self.version for one in self.stored.values())


@dataclass(slots=True)
class _Records:
    """The records of one entity on its source topic, in their order. A version that was taken back is left out."""

    decoder: Decoder
    key: bytes
    changes: list[Decoded] = field(default_factory=list)

    def add(self, record: Any) -> None:
        if record.key != self.key:
            return
        read = self.decoder.decode(record)
        if not isinstance(read, Decoded):
            return
        if isinstance(read.change, Forget):
            self.changes = [one for one in self.changes if one.change.version != read.change.version]
        else:
            self.changes.append(read)


async def forget_plan(
    settings: CommonSettings, stores: InstalledStores, kind: Kind, id: str, version: int | None
) -> ForgetPlan | None:
    """Reads every store and the whole source topic. `version`: None for the highest that a store has.

    Returns None if no store has the entity and no version is given. Raises Unavailable, UnknownTopic and what aiokafka
    raises.
    """
    stored = {name: found.get(id) for name, found in (await stores.everywhere(kind, [id])).items()}
    highest = max((one.version for one in stored.values() if one is not None), default=None)
    chosen = version or highest
    if chosen is None:
        return None
    topic = settings.topics.source(kind)
    limit = settings.kafka.max_record_bytes
    records = _Records(Decoder({topic: CHANGES[kind]}, "", accept_newer=True, max_record_bytes=limit), id.encode())
    async with open_topics(settings.kafka, [topic]) as reader:
        async for record in reader.until_now():
            records.add(record)
    wrong = [position(one.record) for one in records.changes if one.change.version == chosen]
    others = [one for one in records.changes if one.change.version != chosen]
    newest = max(others, key=lambda one: one.change.version, default=None)
    return ForgetPlan(kind, id, chosen, stored, wrong, newest)


async def publish_plan(settings: CommonSettings, plan: ForgetPlan) -> None:
    """Publishes the record that takes the version back, then the newest other change. Raises what aiokafka raises.

    Both go to the partition of the wrong record, whatever producer chose it: there every reader meets them afterwards.
    """
    topic, key = settings.topics.source(plan.kind), plan.id.encode()
    forget = Forget(kind=plan.kind, id=plan.id, version=plan.version)
    before = [*(one.partition for one in plan.wrong), *([plan.again.record.partition] if plan.again else [])]
    client = producer(settings.kafka)
    await client.start()
    try:
        partitions: list[int | None] = [*sorted(set(before))]
        for partition in partitions or [None]:
            value = forget.model_dump_json().encode()
            await client.send_and_wait(topic, value, key, partition, headers=[headers.schema_pair(forget)])
        if plan.again is not None:
            record = plan.again.record
            named = [(name, value) for name, value in record.headers if name in (headers.SCHEMA, headers.VERSION)]
            await client.send_and_wait(topic, record.value, key, before[0], headers=named)
    finally:
        await client.stop()
