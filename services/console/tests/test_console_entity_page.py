"""The page of an entity says what it knows, also while servers are down."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from headrace_letters.letter import Letter
from headrace_letters.letter_pages import Page
from headrace_letters.letter_rows import IndexedLetter
from headrace_runtime.decoder import Position
from headrace_schemas.fields import RecordKind

NOW = datetime.now(UTC)


@pytest.mark.parametrize("kind", ["product", "keyword"])
async def test_the_page_names_each_server_that_does_not_answer(operator: httpx.AsyncClient, kind: str) -> None:
    answer = await operator.get("/entities", params={"kind": kind, "id": "b-750"})
    assert answer.status_code == 200
    for store in ("elasticsearch", "pgvector", "qdrant"):
        (row,) = [row for row in answer.text.split("<tr>") if f'<th scope="row">{store}</th>' in row]
        assert "does not answer" in row
    assert "postgres does not answer" in answer.text.partition("Dead letters</h2>")[2]
    missing = answer.text.partition("What is missing</h2>")[2]
    assert f"no version of the {kind} is known" in missing
    assert "a newer version may be published" in missing
    for what in ("the receipts: ", "the index of dead letters: "):
        assert what in missing


def letter(kind: RecordKind, version: int) -> IndexedLetter:
    failed = Position("headrace.any", 0, version)
    failure = ("refused_by_store", "f", "", 1, NOW, NOW)
    letter = Letter(f"{kind}", "headrace", "pgvector", *failure, b"p", failed, failed, kind, "p", version, 2)
    return IndexedLetter(letter, "waiting", None, None, ())


async def test_the_version_of_a_link_set_is_not_one_of_the_product(
    operator: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def two_letters(*_: Any, **__: Any) -> Page:
        return Page([letter("product", 4), letter("product_links", 1_790_000_000_000)], None)

    monkeypatch.setattr("headrace_letters.index.LetterIndex.page", two_letters)
    answer = await operator.get("/entities", params={"kind": "product", "id": "p"})
    assert 'newest known published version <b class="mono">4</b>' in answer.text
