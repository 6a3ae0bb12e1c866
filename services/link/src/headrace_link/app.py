"""The worker `link`: its receipt stage requests the products that a change concerns, and its stage links them."""

from collections.abc import Mapping

from headrace_link import metrics
from headrace_link.factory import open_receipt_stage, open_stage
from headrace_link.records import Reported, Request
from headrace_link.settings import LinkSettings
from headrace_link.store import open_links
from headrace_worker.stage import Record
from headrace_worker.worker import Listener, Worker


def inputs(settings: LinkSettings) -> Mapping[str, type[Record]]:
    return {settings.topics.relink: Request}


def receipts(settings: LinkSettings) -> Mapping[str, type[Record]]:
    return {settings.topics.receipts: Reported}


worker = Worker(
    name="link",
    settings=LinkSettings,
    inputs=inputs,
    stage=open_stage,
    links=open_links,
    takes_canary=True,
    listener=Listener("receipts", receipts, open_receipt_stage, max_records=lambda settings: settings.link.receipts),
    step="link",
    metrics=metrics.ALL,
    database="qdrant",
    by_model=True,
)
