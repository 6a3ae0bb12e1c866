"""A terminal never interprets a text that comes from a record."""

import json

import pytest
from rich.console import Console

from headrace_cli.hit_table import hit_table
from headrace_cli.output import inert, json_text, table
from headrace_worker.store import Hit


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("\x9b31m", r"\x9b31m"),
        ("a\rb\nc\td", r"a\rb\nc\td"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("half \ud83d pair", r"half \ud83d pair"),
        ("[bold red]markup[/]", "[bold red]markup[/]"),
        (":smile:", ":smile:"),
        ("한정판 🎁 限定", "한정판 🎁 限定"),
    ],
)
def test_control_characters_are_shown_and_markup_is_not_interpreted(hostile: str, shown: str) -> None:
    console = Console(width=80, force_terminal=True, color_system="truecolor")
    with console.capture() as captured:
        console.print(inert(hostile), end="")
    assert captured.get() == shown


def test_json_has_no_control_characters_and_the_same_values() -> None:
    hostile = "\x1b[2J \x9b31m \u202egnp.exe \U000e0041 zero\u200bwidth \x7f 한정판 🎁"
    text = json_text({hostile: [hostile]}, indent=2)
    assert json.loads(text) == {hostile: [hostile]}
    assert "한정판 🎁" in text
    assert all(character == "\n" or character.isprintable() for character in text)


def test_columns_stay_in_line_under_wide_characters() -> None:
    shown = table("title", "price")
    for title in ("plain", "방수 텐트", "ロボット掃除機"):
        shown.add_row(inert(title), "|")
    console = Console(width=60)
    with console.capture() as captured:
        console.print(shown)
    rows = [line for line in captured.get().splitlines() if "|" in line]
    widths = {Console().render_str(row[: row.index("|")]).cell_len for row in rows}
    assert len(rows) == 3
    assert len(widths) == 1


def test_results_name_their_store() -> None:
    hit = Hit("p-1", 0.5, {"title": "Lamp\x1b[2J", "price": 45900.0, "currency": "KRW", "locale": "ko-KR"})
    console = Console(width=120)
    with console.capture() as captured:
        console.print(hit_table([("qdrant", [hit])], "product"))
    assert "qdrant" in captured.get()
    assert "45,900 KRW" in captured.get()
    assert "\x1b[2J" not in captured.get()
