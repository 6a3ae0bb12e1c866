"""As soon as `wait` returns, every store has the links that the commands show."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from harness.records import publish
from harness.servers import SERVERS, Servers

from headrace_demo.catalogue.changes import changes, creations
from headrace_demo.catalogue.events import Change
from headrace_demo.exact_links import read_embeddings
from headrace_demo.link_comparison import compare_links
from headrace_schemas.links import ProductLinks
from headrace_worker.settings import CommonSettings
from headrace_worker.worker import load_worker

HEADRACE = Path(sys.executable).with_name("headrace")
STORES = ("elasticsearch", "pgvector", "link")
SEED, PRODUCTS, KEYWORDS, CHANGES = 3, 150, 60, 120
K, FEWER = 5, 2


@pytest.fixture(scope="module")
def own_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The links of a store depend on all its entities, so this catalogue has its own stores."""
    made = Servers(tmp_path_factory.mktemp("stack"))
    yield made
    made.destroy()


@pytest.fixture(scope="module")
def environment(own_servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Makes topics and stores; yields the environment of a terminal that uses these servers."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    own = {"HEADRACE_CACHE_DIR": str(tmp_path_factory.mktemp("vectors")), "HEADRACE_LINK__K": str(K)}
    made = kept | dict(own_servers.need(*SERVERS)) | own
    headrace(made, "topics", "apply")
    headrace(made, "stores", "apply")
    return made


@pytest.mark.servers
async def test_links_are_exact_in_every_store_when_wait_returns_and_read_the_same_from_each(
    own_servers: Servers, environment: dict[str, str]
) -> None:
    loaded = list(creations(SEED, products=PRODUCTS, keywords=KEYWORDS))
    changed = list(changes(SEED, products=PRODUCTS, keywords=KEYWORDS, count=CHANGES))
    with working(environment):
        await published(own_servers, loaded)
        answer = headrace(environment, "wait", "--json")
        assert answer["done"]
        await check_exact(own_servers, K)

        for start in range(0, CHANGES, CHANGES // 3):
            await published(own_servers, changed[start : start + CHANGES // 3])
            headrace(environment, "wait", "--json")
            await check_exact(own_servers, K)
        await check_reads(own_servers, environment)

    fewer = environment | {"HEADRACE_LINK__K": str(FEWER)}
    with working(fewer):
        ids = [links.id for links in await scanned(own_servers, "link") if not links.deleted][:3]
        asked = headrace(fewer, "relink", *(word for id in ids for word in ("--product", id)), "--json")
        assert asked == {"requested": ids}
        headrace(fewer, "wait", "--json")
        lengths = {links.id: len(links.links) for links in await scanned(own_servers, "pgvector") if not links.deleted}
        assert {id for id, length in lengths.items() if length == FEWER} == set(ids)

        assert headrace(fewer, "relink", "--all", "--json") == {"done": True}
        headrace(fewer, "wait", "--json")
        await check_exact(own_servers, FEWER)


async def check_exact(servers: Servers, k: int) -> None:
    """Compares the links of every store with brute force, without waiting."""
    settings = servers.settings(CommonSettings)
    products, keywords = await read_embeddings(settings, "product"), await read_embeddings(settings, "keyword")
    for name in STORES:

        async def stored(name: str = name) -> AsyncIterator[ProductLinks]:
            for links in await scanned(servers, name):
                yield links

        comparison = await compare_links(stored(), products, keywords, k=k, min_score=-1.0)
        assert (name, comparison.differences) == (name, [])
        assert comparison.products == len(products.ids)


async def check_reads(servers: Servers, environment: Mapping[str, str]) -> None:
    """Checks a product's keywords and a keyword's products as the command prints them."""
    sets = await scanned(servers, "link")
    live = next(links for links in sets if links.links)
    gone = next(links for links in sets if links.deleted)
    keyword = live.links[0].keyword_id
    holders = {links.id for links in sets if keyword in {link.keyword_id for link in links.links}}
    for name in STORES:
        printed = headrace(environment, "links", live.id, "--in", name, "--json")
        assert [link["keyword_id"] for link in printed["links"]] == [link.keyword_id for link in live.links]
        assert printed["title"] == live.title
        assert headrace(environment, "links", gone.id, "--in", name, "--json")["deleted"]

        found = headrace(environment, "links", "--keyword", keyword, "--in", name, "--limit", "1000", "--json")
        assert {product["product_id"] for product in found} == holders
        assert found == sorted(found, key=lambda product: (-product["score"], product["product_id"]))
        best = headrace(environment, "links", "--keyword", keyword, "--in", name, "--limit", "3", "--json")
        assert best == found[:3]
    assert live.links[0].text in called(environment, "links", live.id).stdout
    assert live.id in called(environment, "links", "--keyword", keyword, "--limit", "1000").stdout
    assert called(environment, "links", "never-seen").returncode == 1


async def scanned(servers: Servers, name: str) -> list[ProductLinks]:
    """Returns every link set of a store, without a refresh."""
    worker = load_worker(name)
    assert worker.links is not None
    store = worker.links(servers.settings(worker.settings))
    try:
        return [links async for links in store.scan_links()]
    finally:
        await store.close()


async def published(servers: Servers, events: list[Any]) -> None:
    settings = servers.settings(CommonSettings)
    for kind in ("product", "keyword"):
        records = [event.record for event in events if isinstance(event, Change) and event.kind == kind]
        await publish(settings, settings.topics.source(kind), records)


@contextmanager
def working(environment: Mapping[str, str]) -> Iterator[None]:
    """Runs all workers under one supervisor, and stops it as Ctrl-C does."""
    process = subprocess.Popen([HEADRACE, "work"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0


def headrace(environment: Mapping[str, str], *arguments: str) -> Any:
    """Returns the JSON that a command prints, or None without --json. Fails unless the exit status is 0."""
    done = called(environment, *arguments)
    assert done.returncode == 0, f"headrace {' '.join(arguments)}: {done.stderr}"
    return json.loads(done.stdout) if "--json" in arguments else None


def called(environment: Mapping[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [HEADRACE, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=300
    )
