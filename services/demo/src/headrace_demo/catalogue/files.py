"""The catalogue as files, for `headrace generate` and for programs in other languages.

- `products.jsonl`, `keywords.jsonl`: the first state, a row for each entity with its `version`, for `headrace publish`
- `labels.jsonl`: one line for each product, `{"product_id": …, "keyword_ids": […]}`
- `queries.jsonl`: the text of each keyword that has products, with these as right answers, for `headrace bench-search`
- `changes.jsonl`: the changes that follow, one line for each Kafka record in the order of publication:
  `{"kind", "cause", "record"}` for a change, whose key is the record's id;
  `{"kind", "defect", "key", "value"}` for a malformed record, key and value in base64, the value null for Kafka's null
"""

import base64
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from headrace_demo.catalogue.changes import changes
from headrace_demo.catalogue.events import Change, Event, Malformed, encode
from headrace_demo.catalogue.keywords import keywords
from headrace_demo.catalogue.labels import labels, queries
from headrace_demo.catalogue.products import products


def write_catalogue(
    directory: Path, seed: int, *, product_count: int, keyword_count: int, change_count: int, malformed: int = 0
) -> None:
    """Writes the five files into `directory`, which it creates if missing. Its memory grows with the labels alone.

    The same arguments give the same bytes. Raises ValueError as `changes` and `keywords` do.
    """
    directory.mkdir(parents=True, exist_ok=True)
    stream = changes(seed, products=product_count, keywords=keyword_count, count=change_count, malformed=malformed)
    answers: dict[str, list[str]] = {}
    _write(directory / "products.jsonl", products(seed, product_count))
    _write(directory / "keywords.jsonl", keywords(seed, keyword_count))
    _write(directory / "labels.jsonl", _labels(seed, product_count, keyword_count, answers))
    _write(directory / "queries.jsonl", queries(seed, keyword_count, answers))
    _write(directory / "changes.jsonl", map(_line, stream))


def read_events(path: Path) -> Iterator[Event]:
    """The events of a `changes.jsonl`, in order."""
    with path.open(encoding="utf-8") as lines:
        for text in lines:
            line = json.loads(text)
            if "defect" in line:
                value = line["value"]
                yield Malformed(
                    line["kind"],
                    line["defect"],
                    base64.b64decode(line["key"]),
                    None if value is None else base64.b64decode(value),
                )
            else:
                yield Change(line["kind"], line["cause"], line["record"])


def _labels(seed: int, products: int, keywords: int, answers: dict[str, list[str]]) -> Iterator[dict[str, Any]]:
    """A row for each product. `answers` gets the products of each keyword."""
    for id, found in labels(seed, products, keywords):
        for keyword in found:
            answers.setdefault(keyword, []).append(id)
        yield {"product_id": id, "keyword_ids": sorted(found)}


def _line(event: Event) -> dict[str, Any]:
    if isinstance(event, Change):
        return {"kind": event.kind, "cause": event.cause, "record": event.record}
    value = None if event.value is None else base64.b64encode(event.value).decode()
    key = base64.b64encode(event.key).decode()
    return {"kind": event.kind, "defect": event.defect, "key": key, "value": value}


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with path.open("wb") as file:
        file.writelines(encode(row) + b"\n" for row in rows)
