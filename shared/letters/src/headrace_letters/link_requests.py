"""What the worker `link` has not settled, and what of it concerns one product."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headrace_clients.consumer_groups import Offsets, committed_offsets, first_unread, open_clients
from headrace_clients.group_lag import ConsumerGroup
from headrace_clients.topic_reader import open_rest, partitions_of
from headrace_letters.failure_report import headers_of
from headrace_letters.last_receipts import Wanted
from headrace_schemas.headers import SCHEMA, schema_pair
from headrace_schemas.links import Sweep
from headrace_worker.settings import CommonSettings

MOST_UNREAD = 20_000
"""Records that are read to look for those of one product."""


@dataclass(frozen=True, slots=True)
class LinkRequests:
    """`unread`: records that link has not settled. `of_product`: how many of them ask for the links of the product:
    requests, receipts that cause one, and requests for all products. None if there are too many to look for it.
    """

    unread: int
    of_product: int | None


async def link_requests(
    settings: CommonSettings, groups: Sequence[ConsumerGroup], follows: str, id: str
) -> LinkRequests:
    """Reads them from Kafka. `groups`: those of link. `follows`: the worker whose receipts of changes cause requests.

    Read it after the receipts and the stores: then a request that one of them causes is read, or is settled. Raises
    what aiokafka raises, and UnknownTopic.
    """
    first, unread = await _unread(settings, groups)
    if not first or unread > MOST_UNREAD:
        return LinkRequests(unread, None if first else 0)
    wanted = Wanted("product", id)
    of_product = 0
    async with open_rest(settings.kafka, first) as rest:
        async for records in rest.polls():
            for record in records:
                if record.topic == settings.topics.receipts:
                    of_product += any(
                        one.worker == follows and one.receipt.kind == "product" and one.receipt.outcome == "applied"
                        for one in wanted.among(record.value or b"")
                    )
                else:
                    of_product += _asks_for(record, id)
    return LinkRequests(unread, of_product)


async def _unread(settings: CommonSettings, groups: Sequence[ConsumerGroup]) -> tuple[Offsets, int]:
    """The first unread record of each partition that has any, and the number of them all."""
    first: dict[Any, int] = {}
    unread = 0
    async with open_clients(settings.kafka) as (consumer, admin):
        for group in groups:
            committed = await committed_offsets(admin, group.name)
            partitions = await partitions_of(settings.kafka, group.all_topics)
            starts, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
            of_group = first_unread(starts, ends, committed)
            unread += sum(ends[partition] - begin for partition, begin in of_group.items())
            first |= of_group
    return first, unread


def _asks_for(record: Any, id: str) -> bool:
    sweep = headers_of(record).get(SCHEMA) == schema_pair(Sweep)[1]
    return sweep or record.key == id.encode(errors="surrogatepass")
