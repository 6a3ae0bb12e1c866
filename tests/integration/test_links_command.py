"""As soon as `wait` returns, every store has the links that the commands show."""

import json
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from harness import forked_command
from harness.records import publish
from harness.servers import SERVERS, Servers

from headrace_demo.catalogue.changes import changes, creations
from headrace_demo.catalogue.events import Change
from headrace_demo.current_embeddings import read_embeddings
from headrace_demo.link_comparison import compare_links
from headrace_schemas.changes import ID_FIELDS
from headrace_schemas.links import ProductLinks
from headrace_worker.settings import CommonSettings
from headrace_worker.worker import load_worker

HEADRACE = Path(sys.executable).with_name("headrace")
STORES = ("elasticsearch", "pgvector", "link")
SEED, PRODUCTS, KEYWORDS, CHANGES = 3, 100, 40, 60
K, FEWER = 5, 2


@pytest.fixture(scope="module")
def variables() -> dict[str, str]:
    """The links of a store depend on all its entities, so this catalogue has its own topics and its own namespace."""
    run = uuid.uuid4().hex[:8]
    return {"TOPIC_PREFIX": f"links-{run}.", "NAMESPACE": f"l{run}"}


@pytest.fixture(scope="module")
def environment(
    servers: Servers, variables: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Makes topics and stores; returns the variables of a terminal that uses them."""
    own = {f"HEADRACE_{name}": value for name, value in variables.items()}
    own |= {"HEADRACE_CACHE_DIR": str(tmp_path_factory.mktemp("vectors")), "HEADRACE_LINK__K": str(K)}
    made = dict(servers.need(*SERVERS)) | own
    headrace(made, "topics", "apply")
    headrace(made, "stores", "apply")
    return made


async def test_links_are_exact_in_every_store_when_wait_returns_and_read_the_same_from_each(
    servers: Servers, variables: Mapping[str, str], environment: dict[str, str]
) -> None:
    links = Links(servers, variables)
    loaded = list(creations(SEED, products=PRODUCTS, keywords=KEYWORDS))
    changed = list(changes(SEED, products=PRODUCTS, keywords=KEYWORDS, count=CHANGES))
    with working(environment):
        await links.publish(loaded)
        answer = headrace(environment, "wait", "--json")
        assert answer["done"]
        await links.check_exact(K)

        for start in range(0, CHANGES, CHANGES // 2):
            await links.publish(changed[start : start + CHANGES // 2])
            headrace(environment, "wait", "--json")
            await links.check_exact(K)
        check_reads(environment, await links.scanned("link"))

    fewer = environment | {"HEADRACE_LINK__K": str(FEWER)}
    with working(fewer):
        ids = [found.id for found in await links.scanned("link") if not found.deleted][:3]
        asked = headrace(fewer, "relink", *(word for id in ids for word in ("--product", id)), "--json")
        assert asked == {"requested": ids}
        headrace(fewer, "wait", "--json")
        lengths = {found.id: len(found.links) for found in await links.scanned("pgvector") if not found.deleted}
        assert {id for id, length in lengths.items() if length == FEWER} == set(ids)

        assert headrace(fewer, "relink", "--all", "--json") == {"done": True}
        headrace(fewer, "wait", "--json")
        await links.check_exact(FEWER)


class Links:
    """The topics and the stores of these variables."""

    def __init__(self, servers: Servers, variables: Mapping[str, str]) -> None:
        self._servers = servers
        self._variables = variables
        self._settings = servers.settings(CommonSettings, **variables)

    async def publish(self, events: list[Any]) -> None:
        for kind in ("product", "keyword"):
            records = [event.record for event in events if isinstance(event, Change) and event.kind == kind]
            await publish(self._settings, self._settings.topics.source(kind), records)

    async def check_exact(self, k: int) -> None:
        """Compares the links of every store with brute force, without waiting."""
        products, keywords = [await read_embeddings(self._settings, kind) for kind in ID_FIELDS]
        for name in STORES:

            async def stored(name: str = name) -> AsyncIterator[ProductLinks]:
                for links in await self.scanned(name):
                    yield links

            comparison = await compare_links(stored(), products, keywords, k=k, min_score=-1.0)
            assert (name, comparison.differences) == (name, [])
            assert comparison.products == len(products.ids)

    async def scanned(self, name: str) -> list[ProductLinks]:
        """Returns every link set of a store, without a refresh."""
        worker = load_worker(name)
        assert worker.links is not None
        store = worker.links(self._servers.settings(worker.settings, **self._variables))
        try:
            return [links async for links in store.scan_links()]
        finally:
            await store.close()


def check_reads(environment: Mapping[str, str], sets: Sequence[ProductLinks]) -> None:
    """Checks a product's keywords and a keyword's products as the command prints them."""
    live = next(links for links in sets if links.links)
    gone = next(links for links in sets if links.deleted)
    keyword = live.links[0].keyword_id
    holders = {links.id for links in sets if keyword in {link.keyword_id for link in links.links}}

    calls = [
        call
        for name in STORES
        for call in (
            ("links", live.id, "--in", name, "--json"),
            ("links", gone.id, "--in", name, "--json"),
            ("links", "--keyword", keyword, "--in", name, "--limit", "1000", "--json"),
            ("links", "--keyword", keyword, "--in", name, "--limit", "3", "--json"),
        )
    ]
    words = [("links", live.id), ("links", "--keyword", keyword, "--limit", "1000"), ("links", "never-seen")]
    answers = [forked_command.headrace(*call, environment=environment) for call in [*calls, *words]]
    assert [answer.returncode for answer in answers] == [0] * (len(answers) - 1) + [1]
    read = [json.loads(answer.stdout) for answer in answers[: len(calls)]]
    for start in range(0, len(calls), 4):
        of_product, of_gone, found, best = read[start : start + 4]
        assert [link["keyword_id"] for link in of_product["links"]] == [link.keyword_id for link in live.links]
        assert of_product["title"] == live.title
        assert of_gone["deleted"]
        assert {product["product_id"] for product in found} == holders
        assert found == sorted(found, key=lambda product: (-product["score"], product["product_id"]))
        assert best == found[:3]
    assert live.links[0].text in answers[len(calls)].stdout
    assert live.id in answers[len(calls) + 1].stdout


@contextmanager
def working(environment: Mapping[str, str]) -> Iterator[None]:
    """Runs all workers under one supervisor, and stops it as Ctrl-C does."""
    process = subprocess.Popen(
        [HEADRACE, "work"],
        env=forked_command.inherited() | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0


def headrace(environment: Mapping[str, str], *arguments: str) -> Any:
    """Returns the JSON that a command prints, or None without --json. Fails unless the exit status is 0."""
    done = forked_command.headrace(*arguments, environment=environment, timeout=300)
    assert done.returncode == 0, f"headrace {' '.join(arguments)}: {done.stderr}"
    return json.loads(done.stdout) if "--json" in arguments else None
