"""The page of an entity says what it knows, also while servers are down."""

import httpx
import pytest


@pytest.mark.parametrize("kind", ["product", "keyword"])
async def test_the_page_names_each_server_that_does_not_answer(operator: httpx.AsyncClient, kind: str) -> None:
    answer = await operator.get("/entities", params={"kind": kind, "id": "b-750"})
    assert answer.status_code == 200
    for store in ("elasticsearch", "pgvector", "qdrant"):
        (row,) = [row for row in answer.text.split("<tr>") if f'<th scope="row">{store}</th>' in row]
        assert "does not answer" in row
    assert "postgres does not answer" in answer.text.partition("Dead letters</h2>")[2]
    assert "a newer version may be published" in answer.text
