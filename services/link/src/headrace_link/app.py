"""The worker `link`: its receipt stage requests the products that a change concerns, and its stage links them."""

from collections.abc import Collection, Mapping

from headrace_link import metrics
from headrace_link.records import Reported, Request
from headrace_link.settings import LinkSettings
from headrace_worker.deferred import Deferred
from headrace_worker.stage import Record
from headrace_worker.worker import Listener, Worker


def inputs(settings: LinkSettings) -> Mapping[str, type[Record]]:
    return {settings.topics.relink: Request, settings.topics.relink_bulk: Request}


def in_bulk(settings: LinkSettings) -> Collection[str]:
    return (settings.topics.relink_bulk,)


def receipts(settings: LinkSettings) -> Mapping[str, type[Record]]:
    return {settings.topics.receipts: Reported}


worker = Worker(
    name="link",
    settings=LinkSettings,
    inputs=inputs,
    stage=Deferred("headrace_link.factory:open_stage"),
    links=Deferred("headrace_link.store:open_links"),
    in_bulk=in_bulk,
    takes_canary=True,
    listener=Listener(
        "receipts",
        receipts,
        Deferred("headrace_link.factory:open_receipt_stage"),
        max_records=lambda settings: settings.link.receipts,
    ),
    step="link",
    metrics=metrics.ALL,
    database="qdrant",
    by_model=True,
)
