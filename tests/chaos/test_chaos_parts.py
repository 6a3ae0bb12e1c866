"""The parts of chaos: a proxy breaks what it forwards, the stream has its shares, the report and the picture add up."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
import pytest_asyncio
from harness.verdict import Verdict

from chaos.picture import picture
from chaos.proxies import HOST, FaultyProxy
from chaos.report import as_json, as_text
from chaos.run import Done, Sample
from chaos.stream import SHARES, Stream
from headrace_worker.settings import CommonSettings

DONE = [
    Done("kill -9 of a store", "qdrant", 1.0, 3.0, 4.5),
    Done("kill -9 of a store", "postgres", 9.0, 11.0, 2.5),
    Done("rebalance", "embed", 20.0, 22.0, None),
]
SAMPLES = [Sample(0.0, 0, {"embed": 5}), Sample(2.0, None, None), Sample(4.0, 120, {"embed": 0})]


@pytest_asyncio.fixture
async def proxy() -> AsyncIterator[FaultyProxy]:
    """Before a server that answers with what it gets."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(100):
            writer.write(chunk)
        writer.close()

    async with await asyncio.start_server(echo, HOST, 0) as server:
        between = FaultyProxy(server.sockets[0].getsockname()[1])
        await between.start()
        yield between
        await between.close()


class Client:
    """One connection to the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def asked(self, within: float = 5.0) -> bytes:
        """The answer; nothing if the connection was reset."""
        self._writer.write(b"hello")
        return await self.heard(within)

    async def heard(self, within: float = 5.0) -> bytes:
        try:
            return await asyncio.wait_for(self._reader.read(100), within)
        except ConnectionError:
            return b""

    def close(self) -> None:
        self._writer.transport.abort()


async def connected(proxy: FaultyProxy) -> Client:
    return Client(*await asyncio.open_connection(HOST, proxy.port))


async def test_a_proxy_forwards_until_its_connections_are_cut(proxy: FaultyProxy) -> None:
    first = await connected(proxy)
    assert await first.asked() == b"hello"
    proxy.cut_all()
    assert await first.asked() == b""
    second = await connected(proxy)
    assert await second.asked() == b"hello"
    first.close()
    second.close()


async def test_a_slow_proxy_delays_and_a_silent_one_forwards_nothing_until_it_heals(proxy: FaultyProxy) -> None:
    client = await connected(proxy)
    proxy.delay = 0.1
    began = asyncio.get_running_loop().time()
    assert await client.asked() == b"hello"
    assert asyncio.get_running_loop().time() - began >= 0.2
    proxy.silence()
    with pytest.raises(TimeoutError):
        await client.asked(within=0.3)
    proxy.heal()
    assert await client.heard() == b"hello"
    client.close()


def test_the_stream_has_the_shares_that_it_is_said_to_have() -> None:
    stream = Stream(CommonSettings(), 1, rate=30, products=50, keywords=10)
    assert len(stream.creations()) == 60
    for _ in range(4000):
        stream.records()
    counts = stream.counts
    records = sum(counts.values()) - counts["create"]
    assert sum(SHARES.values()) == 100
    assert 0.15 < (counts["delete"] + counts["recreate"]) / records < 0.25
    assert 0.03 < counts["duplicate"] / records < 0.07
    assert 0.03 < counts["late"] / records < 0.07
    assert 0.003 < counts["malformed"] / records < 0.02


def verdict(**stores: dict[str, int]) -> Verdict:
    said = [f"{name}: {kind}" for name, counts in stores.items() for kind in counts]
    workers = {"embed": {"applied": 90, "superseded": 8, "dead": 2}}
    return Verdict(50, 98, stores, {name: {"entities": 50, "tombstones": 4} for name in stores}, workers, said)


def run_of(done: list[Done]) -> Any:
    counts = {"update": 90, "malformed": 2}
    stream = SimpleNamespace(counts=counts)
    return SimpleNamespace(done=done, samples=SAMPLES, settled=3.2, stream=stream, cluster=SimpleNamespace(without=[]))


def test_the_report_names_each_kind_of_fault_with_its_recovery() -> None:
    text = as_text(run_of(DONE), verdict(qdrant={}), 60.0, 1)
    store, every = (line.split() for line in text.splitlines() if line.startswith(("kill -9 of a store", "all ")))
    assert store[-3:] == ["2", "3.5", "4.5"]
    assert every[-3:] == ["3", "3.5", "-"]
    assert "every store is right" in text


def test_the_report_says_what_is_wrong() -> None:
    found = verdict(qdrant={"stale": 3})
    assert "qdrant: stale" in as_text(run_of(DONE), found, 60.0, 1)
    json = as_json(run_of(DONE), found, 60.0, 1)
    assert (json["right"], json["recovery"]["rebalance"]) == (False, {"count": 1, "median": None, "worst": None})
    assert sum(one["count"] for one in json["recovery"].values()) == len(json["faults"])


def test_the_picture_has_a_band_for_each_fault_and_a_line_for_each_group() -> None:
    drawn = ElementTree.fromstring(picture(SAMPLES, DONE, "a <title>"))
    titles = [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == [
        "kill -9 of a store: qdrant, 1 to 3 s",
        "kill -9 of a store: postgres, 9 to 11 s",
        "rebalance: embed, 20 to 22 s",
    ]
    assert len(list(drawn.iter("{http://www.w3.org/2000/svg}polyline"))) == 2
