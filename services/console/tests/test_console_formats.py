"""How a page shows untrusted text, bytes and numbers."""

import html
import json
import re
import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_console.formats.charts import Part, series_in_words, sparkline, stacked
from headrace_console.formats.payload import MAX_SHOWN, hexdump, shown_payload
from headrace_console.formats.text import byte_count, header_text, inert, inert_lines, short_count
from headrace_console.formats.times import ago, duration

HOSTILE = "<img src=x onerror=alert(1)> \u202egnp.exe \x1b[31m \x00 & \"'"
TAGS = re.compile(r"</?(?:bdi|span)(?: class=\"[\w-]+\")?>")


def plain(markup: str) -> str:
    """The visible text. Fails on markup that is not the page's own."""
    left = TAGS.sub("", markup)
    assert "<" not in left
    assert ">" not in left
    return html.unescape(left)


def test_untrusted_text_is_escaped_and_invisible_characters_are_visible() -> None:
    shown = plain(inert(HOSTILE))
    assert shown == "<img src=x onerror=alert(1)> \\u202egnp.exe \\x1b[31m \\x00 & \"'"


@given(st.text())
def test_any_text_becomes_visible_text_without_markup(text: str) -> None:
    for shown in (inert(text), inert_lines(text, 1000)):
        categories = {unicodedata.category(character) for character in plain(shown).replace("\n", "")}
        assert categories & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} == set()
    shown.encode()


def test_a_line_has_no_line_ends_and_is_cut() -> None:
    assert plain(inert("a\r\nb\nc")) == "a b c"
    assert plain(inert("x" * 300, 10)) == "x" * 10 + "…"
    assert plain(inert_lines("a\nb\r\nc", 5)) == "a\nb\n…"


@given(st.binary())
def test_any_bytes_can_be_shown(value: bytes) -> None:
    shown = shown_payload(value)
    plain(shown.html).encode()
    assert shown.size == len(value)
    plain(header_text(value)).encode()
    assert len(hexdump(value).splitlines()) == min(32, -(-len(value) // 16))


def test_json_is_indented_and_every_part_is_escaped() -> None:
    value = {"<b>": HOSTILE, "n": [1, None, True], "long": "x" * 5000, "lone": "\ud800"}
    shown = shown_payload(json.dumps(value).encode())
    assert shown.form == "JSON"
    text = plain(shown.html)
    assert '"<b>": ' in text
    assert "\\u202e" in text
    assert "(5,000 characters)" in text
    assert len(text) < 1000


def test_a_large_value_is_cut_between_two_characters() -> None:
    value = ("é" * 3_000_000).encode()
    shown = shown_payload(b"x" + value)
    assert (shown.form, shown.size, shown.cut) == ("text", len(value) + 1, len(value) + 1 - MAX_SHOWN)
    assert set(plain(shown.html)) == {"x", "é"}


@pytest.mark.parametrize("value", [b"[" * 100_000, b"1" * 10_000, b"\xff\xfe\x00", b"{", b""])
def test_a_value_that_is_not_json_is_shown_as_text_or_binary(value: bytes) -> None:
    assert shown_payload(value).form in ("text", "binary")
    assert shown_payload(None).form == "null"


def test_a_hexdump_has_offset_hexadecimal_and_ascii() -> None:
    digits = "48 65 61 64 72 61 63 65  00 ff 3c 62 3e"
    assert hexdump(b"Headrace\x00\xff<b>") == f"00000000  {digits:<49} Headrace··<b>"


def test_a_chart_has_a_description_in_words() -> None:
    assert series_in_words([0, 7, 2], "Failures an hour") == (
        "Failures an hour: 9 in 3 steps, at most 7, 1 steps before the newest; now 2"
    )
    assert series_in_words([0, 0], "Failures") == "Failures: none"
    assert 'role="img" preserveAspectRatio="none" aria-label="' in sparkline([1, 2], "Failures")
    picture = stacked([Part("resolved", "Resolved", 99_999), Part("failed", "Failed <again>", 1)], "Replay")
    assert 'aria-label="Replay: Resolved 99,999, Failed &lt;again&gt; 1"' in picture
    widths = [float(width) for width in re.findall(r'width="([\d.]+)"', picture)]
    assert min(widths) >= 4, "one of 100,000 is still visible"


def test_an_empty_chart_is_valid() -> None:
    assert "<svg" in sparkline([], "Nothing")
    assert "nothing" in stacked([], "Nothing")


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0"), (950.4, "950"), (9999, "9,999"), (12_345, "12.3k"), (123_456, "123k"), (4.1e6, "4.1M")],
)
def test_large_numbers_are_short(number: float, shown: str) -> None:
    assert short_count(number) == shown


def test_sizes_and_times_have_units() -> None:
    assert [byte_count(size) for size in (None, 1, 2048, 5 * 2**20)] == ["null", "1 byte", "2.0 KiB", "5.0 MiB"]
    now = datetime(2026, 3, 1, tzinfo=UTC)
    seconds = (0, 5, 119, 130, 7300, 200_000)
    texts = ["just now", "5 s ago", "119 s ago", "2 min ago", "2 h ago", "2 d ago"]
    assert [ago(now - timedelta(seconds=second), now) for second in seconds] == texts
    assert [duration(second) for second in (0.42, 12, 200, 7500)] == ["0.4 s", "12 s", "3 min 20 s", "2 h 5 min"]
