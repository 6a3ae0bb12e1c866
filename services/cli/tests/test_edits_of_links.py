"""A letter of a link set names a product. An edit of it must not become a change of that product."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

import pytest

from headrace_cli.dead.edits import Refused, edits
from headrace_letters.edit_preview import edit_versions
from headrace_letters.index import LetterIndex
from headrace_letters.installed_stores import InstalledStores
from headrace_letters.letter import Letter
from headrace_letters.letter_rows import IndexedLetter
from headrace_runtime.decoder import Position
from headrace_schemas.fields import RecordKind
from headrace_worker.settings import CommonSettings

LINK_VERSION = 1_790_000_000_000
"""A link version is the clock's milliseconds: as a product's version it would be above all of the catalogue's."""
NOW = datetime.now(UTC)


def letter(kind: RecordKind) -> IndexedLetter:
    failed = Position("headrace.product-links", 0, 1)
    return IndexedLetter(
        Letter(
            "l", "headrace", "elasticsearch", "refused_by_store", "f", "", 1, NOW, NOW, b"p", failed, failed,
            kind, "p", LINK_VERSION, 2,
        ),
        "waiting", None, None, (),
    )  # fmt: skip


class OneLetter:
    """An index that has this letter."""

    def __init__(self, letter: IndexedLetter) -> None:
        self._letter = letter

    async def get(self, ids: Sequence[str]) -> dict[str, IndexedLetter]:
        return {"l": self._letter}


@pytest.mark.parametrize("kind", ["product_links", "relink", "sweep"])
async def test_a_letter_about_links_is_not_edited(kind: RecordKind) -> None:
    found = letter(kind)
    index, stores = cast(LetterIndex, OneLetter(found)), cast(InstalledStores, None)
    line = {"dead_id": "l", "unedited": "x", "value": {"product_id": "p", "title": "A", "version": LINK_VERSION}}
    [result] = await edits([line], index, stores, CommonSettings())
    assert isinstance(result, Refused)
    assert "headrace relink" in result.why
    assert (await edit_versions([found], stores))["l"].outcome == "refused"
