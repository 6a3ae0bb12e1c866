"""Measures how long the console's pages take with many dead letters, requested as by a browser."""

import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import httpx
from aiokafka.structs import ConsumerRecord

from benchmarks.topics import changes, embedded
from headrace_cli.dead.reindex import reindex
from headrace_cli.kafka_topics import apply_topics
from headrace_letters.index import LetterIndex
from headrace_letters.index_settings import IndexSettings
from headrace_letters.selection import Selection
from headrace_runtime.dead_letters import dead_letter
from headrace_runtime.publisher import Outgoing, Publisher
from headrace_schemas.headers import SCHEMA
from headrace_worker.stage import Rejected

LIMIT_MS = 300.0
LOADS = 15
AT_ONCE = 4000
VECTORS = 1000
"""The number of different messages; further letters repeat them."""


@dataclass(frozen=True)
class Cause:
    """The cause of some of the letters. `before`: hours since it was repaired; `lasted`: hours."""

    worker: str
    rejection: Rejected
    share: float
    before: float
    lasted: float


CAUSES = (
    Cause(
        "elasticsearch",
        Rejected(
            "refused_by_store",
            "failed to parse field [price] of type [scaled_float] in document with id '{id}'. Preview of field's "
            "value: '{price}'",
            ("elasticsearch", "document_parsing_exception", "price"),
        ),
        0.41, 0.1, 9.0,
    ),
    Cause(
        "pgvector",
        Rejected(
            "refused_by_store",
            'new row for relation "products" violates check constraint "price_below_limit": {id} costs {price}',
            ("postgres", "23514", "price_below_limit"),
        ),
        0.27, 1.5, 6.0,
    ),
    Cause(
        "qdrant",
        Rejected("wrong_vector", "the vector has 768 dimensions, the collection 384", ("dimension",)),
        0.17, 3.0, 14.0,
    ),
    Cause(
        "embed",
        Rejected("invalid", "title: Input should be a valid string, not {price}", ("string_type", "title")),
        0.10, 0.2, 20.0,
    ),
    Cause("embed", Rejected("not_json", "Invalid JSON: expected value at line 1 column 1", ("json",)), 0.05, 0.5, 3.0),
)  # fmt: skip


@dataclass(frozen=True)
class Page:
    """Milliseconds until the whole page was loaded; `slowest` of all loads."""

    name: str
    loads: list[float] = field(repr=False)
    limit: float = LIMIT_MS

    @property
    def median(self) -> float:
        return statistics.median(self.loads)

    @property
    def slowest(self) -> float:
        return max(self.loads)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self) | {"median": self.median, "slowest": self.slowest, "reached": self.slowest <= self.limit}


async def run(settings: IndexSettings, environment: Mapping[str, str], letters: int) -> list[Page]:
    """Loads every page of a console 15 times, over so many letters of five causes."""
    own = settings.model_copy(update={"topic_prefix": "bench-pages."})
    await fill(own, letters)
    applying = [sys.executable, "-m", "headrace_cli", "stores", "apply"]
    await asyncio.to_thread(
        subprocess.run, applying, env={**os.environ, **environment}, check=True, capture_output=True
    )
    index = LetterIndex(own.postgres, own.names.schema)
    await reindex(own, index, lambda read, of: None)
    found = await index.page(Selection(worker="pgvector"), limit=50)
    await index.close()
    letter = found.letters[0].letter
    paths = {
        "causes": "/",
        "one cause": f"/group?fingerprint={quote(letter.fingerprint)}",
        "letters": "/letters",
        "letters of a status": "/letters?status=waiting",
        "older letters": "/letters?" + urlencode({"after": found.next or ""}),
        "a letter": "/letter?" + urlencode({"id": letter.id}),
        "replay": f"/replay?fingerprint={quote(letter.fingerprint)}",
        "an entity": "/entities?" + urlencode({"kind": "product", "id": letter.entity_id or ""}),
        "workers": "/workers",
        "audit log": "/audit",
    }
    variables = {**os.environ, **environment, "HEADRACE_TOPIC_PREFIX": own.topic_prefix}
    return await asyncio.to_thread(_measured, variables, paths)


async def fill(settings: IndexSettings, count: int) -> None:
    """Publishes letters of five causes that failed at different hours of the last day."""
    await apply_topics(settings, sorted({cause.worker for cause in CAUSES}))
    publisher = Publisher(settings.kafka)
    letters = list(_letters(settings, count))
    for start in range(0, len(letters), AT_ONCE):
        await publisher.publish(letters[start : start + AT_ONCE])
    await publisher.close()


def _letters(settings: IndexSettings, count: int) -> Iterator[Outgoing]:
    now = datetime.now(UTC)
    for cause in CAUSES:
        wanted = int(count * cause.share)
        rows: Sequence[dict[str, Any]] = changes(wanted, 1, cause.rejection.reason[:3])
        schema, topic = b"product-change/1", settings.topics.source("product")
        if cause.worker in ("pgvector", "qdrant"):
            vectors = [row["embedding"] for row in embedded(rows[:VECTORS], settings.model, 1)]
            rows = [row | {"embedding": vectors[number % VECTORS]} for number, row in enumerate(rows)]
            schema, topic = b"embedded-product/1", settings.topics.embedded("product", settings.model)
        for number, row in enumerate(rows):
            # More of them towards the end: a bad deploy is noticed when it grows.
            hours = cause.before + cause.lasted * (1 - (number / wanted) ** 0.6)
            detail = cause.rejection.detail.format(id=row["product_id"], price=row["price"])
            value = (
                json.dumps(row).encode() if cause.rejection.reason != "not_json" else b"<html>502 Bad Gateway</html>"
            )
            record = ConsumerRecord(
                topic, number % 6, number, 1_700_000_000_000, 0, row["product_id"].encode(), value, None, 0, 0,
                ((SCHEMA, schema),),
            )  # fmt: skip
            yield dead_letter(
                cause.worker,
                settings.topics.dead(cause.worker),
                record,
                Rejected(cause.rejection.reason, detail, cause.rejection.cause),
                now=now - timedelta(hours=hours),
                max_bytes=2**20,
            )


def _measured(variables: Mapping[str, str], paths: Mapping[str, str]) -> list[Page]:
    process = subprocess.Popen(
        [sys.executable, "-m", "headrace_cli", "console", "--port", "0"],
        env=dict(variables),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("the console is at ").strip()
        with closing(_signed_in(url)) as browser:
            return [Page(f"console: {name}", [_milliseconds(browser, path) for _ in range(LOADS)])
                    for name, path in paths.items()]  # fmt: skip
    finally:
        process.terminate()
        process.wait(15)


def _signed_in(url: str) -> httpx.Client:
    origin = url.partition("/sign-in")[0]
    browser = httpx.Client(base_url=origin, headers={"accept": "text/html", "origin": origin}, timeout=60)
    browser.get(url)
    csrf = re.findall('name="csrf" value="(.+?)"', browser.get("/sign-in").text)[0]
    assert browser.post("/sign-in", data={"csrf": csrf, "name": "bench"}).status_code == 303
    return browser


def _milliseconds(browser: httpx.Client, path: str) -> float:
    began = time.perf_counter()
    answer = browser.get(path)
    took = (time.perf_counter() - began) * 1000
    assert answer.status_code == 200, f"{path}: {answer.status_code}"
    return took
