"""Shows the dead letters."""

import asyncio
from dataclasses import asdict

import typer
from rich.table import Table

from headrace_cli.dead_letters import DeadLetter, dead_letters
from headrace_cli.options import AsJson
from headrace_cli.output import inert, print_json, screen, table
from headrace_shared.settings import CommonSettings

app = typer.Typer(rich_markup_mode="markdown", add_completion=False, no_args_is_help=True)


@app.callback()
def dead() -> None:
    """The changes that no retry would help: each is kept on the topic of the worker that could not apply it."""


@app.command()
def ls(as_json: AsJson = False) -> None:
    """List every dead letter: which worker, why, which record."""
    letters = asyncio.run(_all())
    if as_json:
        print_json([asdict(letter) for letter in letters])
    elif not letters:
        screen().print("there are no dead letters")
    else:
        screen().print(_table(letters))


async def _all() -> list[DeadLetter]:
    letters = [letter async for letter in dead_letters(CommonSettings())]
    return sorted(letters, key=lambda letter: (letter.failed_at, letter.worker))


def _table(letters: list[DeadLetter]) -> Table:
    shown = table("worker", "reason", "key", "record", "attempts", "failed at", "message")
    for letter in letters:
        record = f"{letter.topic}-{letter.partition}-{letter.offset}"
        cells = (letter.worker, letter.reason, letter.key, record, letter.attempts, letter.failed_at, letter.message)
        shown.add_row(*map(inert, cells))
    return shown
