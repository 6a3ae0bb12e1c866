"""A line of edited dead letters that cannot be used is refused, and the lines around it are used."""

from io import BytesIO

import pytest

from headrace_cli.dead.edit_file import Imported, objects_in
from headrace_cli.dead.edit_lines import edited

GOOD = b'{"dead_id": "embed:p:0:3", "unedited": "", "value": {"product_id": "p1"}}'


@pytest.mark.parametrize(
    "line",
    [
        b'{"value": {"title": "\\ud800"}}',
        b'{"value": {"a": ' + b"[" * 400 + b"]" * 400 + b"}}",
        b"[" * 100_000,
        b'{"value": ' + b"9" * 5000 + b"}",
        b'{"value": "\xff"}',
        b"[]",
        b"{",
    ],
    ids=["half a character", "nested", "nested deeper", "a long number", "not UTF-8", "no object", "not JSON"],
)
def test_a_line_that_cannot_be_used_is_refused(line: bytes) -> None:
    done = Imported()
    found = dict(objects_in(BytesIO(b"\n".join([GOOD, line, b"", GOOD])), done))
    assert [edited(one) for one in found.values()] == [{"product_id": "p1"}] * 2
    assert list(found) == [1, 4]
    assert done.refused == [{"line": 2, "id": "", "why": "not a JSON object"}]


def test_a_file_that_an_editor_has_begun_with_a_mark_is_read() -> None:
    done = Imported()
    assert list(dict(objects_in(BytesIO(b"\xef\xbb\xbf" + GOOD), done))) == [1]
    assert done.refused == []
