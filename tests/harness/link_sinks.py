"""Every installed sink of link sets, as the contract suite uses it."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from harness.sinks import candidates, load_sink, servers_of
from headrace_schemas.links import Link, ProductLinks
from headrace_worker.settings import WorkerSettings
from headrace_worker.stage import Stage
from headrace_worker.store import LinkStore
from headrace_worker.worker import Worker


@dataclass(frozen=True)
class LinkSink:
    """One sink of link sets on its real server."""

    worker: Worker
    settings: WorkerSettings

    @property
    def server(self) -> str:
        """The name of the server that it writes to."""
        (name,) = servers_of(self.worker)
        return name

    def stage(self) -> AbstractAsyncContextManager[Stage[Any]]:
        return self.worker.stage(self.settings)

    def store(self) -> LinkStore:
        assert self.worker.links is not None
        return self.worker.links(self.settings)


def link_sink_names(*, on_servers: bool = False) -> list[str]:
    """The sinks that store link sets; with `on_servers` only those on a server which the tests can break."""
    names = [name for name in candidates() if stores_links(load_sink(name))]
    return [name for name in names if servers_of(load_sink(name))] if on_servers else names


def stores_links(worker: Worker) -> bool:
    if worker.links is None:
        return False
    return ProductLinks in worker.inputs(worker.settings.model_construct()).values()


def link_set(product_id: str, version: int, keyword_ids: Sequence[str], title: str | None = None) -> ProductLinks:
    """A live set of these keywords, best first, whose texts and scores depend on its version."""
    links = [
        Link(keyword_id=id, text=f"{id} at version {version}", score=0.9 - place / 100 - version % 7 / 1000, rank=place)
        for place, id in enumerate(keyword_ids, 1)
    ]
    return ProductLinks(
        product_id=product_id, version=version, title=title or f"{product_id} at version {version}", links=tuple(links)
    )


def tombstone(product_id: str, version: int) -> ProductLinks:
    """The set of a deleted product."""
    return ProductLinks(product_id=product_id, version=version, deleted=True)
