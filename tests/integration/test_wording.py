"""The command and the console show the same words for statuses, predictions, actions and the progress of a replay."""

from datetime import UTC, datetime
from typing import Any

import pytest
from harness.letters import letter
from rich.console import Console

from headrace_cli.dead.letter_tables import letters_table, preview_table
from headrace_console.job_chart import preview_chart, replay_chart
from headrace_console.jobs import Job
from headrace_console.page_templates import environment
from headrace_console.pages.letters import history
from headrace_letters import wording
from headrace_letters.actions import AuditRow
from headrace_letters.letter_rows import IndexedLetter
from headrace_letters.prediction import OUTCOMES, Outcome, Prediction
from headrace_letters.preview import Preview
from headrace_letters.replay_progress import Progress, refusals, summary
from headrace_letters.selection import EVERYTHING, STATUSES, Status

NOW = datetime(2026, 3, 1, tzinfo=UTC)
JOB = Job("id", "replay", "on-call", EVERYTHING, {}, NOW)


def on_terminal(shown: Any) -> str:
    """What the command prints."""
    console = Console(width=200)
    with console.capture() as captured:
        console.print(shown)
    return captured.get()


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_both_show_the_same_words_for_a_prediction(outcome: Outcome) -> None:
    preview = Preview(1)
    preview.add(Prediction(letter("p1"), outcome))
    title = wording.OUTCOMES[outcome].title
    assert title in on_terminal(preview_table(preview))
    assert [part.label.lower() for part in preview_chart(JOB, preview).parts] == [title]
    chip = environment().from_string('{% import "macros.html" as ui %}{{ ui.outcome(name) }}').render(name=outcome)
    assert title in chip.lower()


@pytest.mark.parametrize("status", STATUSES)
def test_both_show_the_same_words_for_a_status(status: Status) -> None:
    title = wording.STATUSES[status].title
    assert title in on_terminal(letters_table([(letter("p1"), status)]))
    chip = environment().from_string('{% import "macros.html" as ui %}{{ ui.chip(name) }}').render(name=status)
    assert title in chip.lower()


def test_both_show_the_same_words_for_the_progress_of_a_replay() -> None:
    progress = Progress(100, 60, 20, 10, 5, 3, "stopped", "", {"expired": 2, "foreign": 1})
    shown = {part.label.lower(): part.number for part in replay_chart(JOB, progress).parts}
    assert shown == {
        word.title: number for word, number in zip(wording.PROGRESS.values(), (20, 10, 5, 25, 3, 37), strict=True)
    }
    printed = summary(progress) + refusals(progress)
    for part in ("resolved", "superseded", "failed", "unanswered", "refused"):
        title = wording.PROGRESS[part].title
        assert f"{shown[title]} {title}" in printed
    assert f"2 {wording.OUTCOMES['expired'].title}; 1 {wording.OUTCOMES['foreign'].title}" in printed


@pytest.mark.parametrize("name", wording.ACTIONS)
def test_the_console_shows_the_words_of_an_action(name: Any) -> None:
    found = IndexedLetter(letter("p1"), "waiting", None, None, ())
    (event,) = history(found, [AuditRow(1, NOW, "on-call", name, {}, "", 1, None, None)])
    assert event.title == f"on-call {wording.ACTIONS[name].title} it"


def test_no_title_stands_for_two_things() -> None:
    for words in (wording.STATUSES, wording.OUTCOMES, wording.ACTIONS, wording.PROGRESS):
        titles = [word.title for word in words.values()]
        assert len(set(titles)) == len(titles)
