"""The audit page names the letters of an action in words and links to them."""

import httpx
import pytest

from headrace_console.pages.audit import in_words, letters_query
from headrace_console.selection_fields import selection_of
from headrace_letters.selection import Selection


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        (Selection(), "all letters"),
        (Selection(worker="qdrant", status=("waiting", "parked")), "worker qdrant, waiting or parked"),
        (Selection(ids=("a",)), "1 chosen letter"),
        (Selection(ids=("a b", "c&d")), "2 chosen letters"),
        (Selection(key=b"\xff", fingerprint="f 1"), "fingerprint f 1, key 0xff"),
    ],
)
def test_a_recorded_selection_is_described_and_its_link_selects_the_same(selection: Selection, words: str) -> None:
    recorded = selection.as_json()
    assert in_words(recorded) == words
    query = letters_query(recorded)
    assert query is not None
    assert selection_of(httpx.QueryParams(query).multi_items()) == selection


def test_a_selection_of_many_single_letters_has_no_link() -> None:
    assert letters_query({"ids": [str(number) for number in range(41)]}) is None


async def test_a_wrong_filter_is_refused_with_the_field(operator: httpx.AsyncClient) -> None:
    for query, words in (({"name": "dance"}, "the action must be one of"), ({"since": "soon"}, "since")):
        answer = await operator.get("/audit", params=query)
        assert answer.status_code == 400
        assert words in answer.text
