"""The workers that run, as targets of Prometheus.

https://prometheus.io/docs/prometheus/latest/configuration/configuration/#file_sd_config
"""

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import httpx
from aiokafka.admin import AIOKafkaAdminClient

from headrace_clients.kafka import client_options
from headrace_clients.worker_copies import ANSWER_SECONDS, groups_of, read_route
from headrace_worker.settings import KafkaSettings

_NAME = re.compile(rb'^headrace_worker\{[^}]*worker="([^"]+)"', re.MULTILINE)


class ScrapeTargets:
    """Finds the HTTP address that each member of any consumer group has announced, whatever its topic prefix is.

    The name of its worker is read once from each address.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._names: Mapping[str, str | None] = {}

    async def find(self) -> list[dict[str, Any]]:
        """A target with the label `worker` for each copy, by its address. Raises what aiokafka raises."""
        addresses = await self._addresses()
        async with httpx.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False) as http:
            names = await asyncio.gather(*(self._name(http, address) for address in addresses))
        self._names = dict(zip(addresses, names, strict=True))
        return [target(address, name) for address, name in self._names.items()]

    async def _name(self, http: httpx.AsyncClient, address: str) -> str | None:
        if known := self._names.get(address):
            return known
        try:
            _, body = await read_route(http, f"{address}/metrics")
        except (httpx.HTTPError, ValueError):
            return None
        found = _NAME.search(body)
        return found[1].decode() if found else None

    async def _addresses(self) -> list[str]:
        admin = AIOKafkaAdminClient(**client_options(self._settings))
        await admin.start()
        try:
            groups = await groups_of(admin, [group for group, *_ in await admin.list_consumer_groups()])
        finally:
            await admin.close()
        return sorted({address for group in groups.values() for address in group.addresses if address is not None})


def target(address: str, worker: str | None) -> dict[str, Any]:
    """One group of targets. `address`: the URL of a copy. A worker that has not answered yet has no name."""
    return {"targets": [address.removeprefix("http://")], "labels": {"worker": worker} if worker else {}}
