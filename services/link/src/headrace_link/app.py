"""The worker `link`: listens to receipts, asks itself for the products that they concern, and links those."""

from collections.abc import Mapping

from headrace_link.listening import open_listening
from headrace_link.records import Reported, Request
from headrace_link.settings import LinkSettings
from headrace_link.stage import open_stage
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
    listener=Listener("receipts", receipts, open_listening, max_records=lambda settings: settings.link.receipts),
)
