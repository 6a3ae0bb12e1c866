"""The commands of `headrace dead` that decide about letters without sending them, and the audit of all actions."""

import asyncio
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from headrace_cli.dead import letter_actions, letter_queries
from headrace_cli.dead.letter_objects import touched_objects
from headrace_cli.dead.letter_tables import audit_table, touched_table
from headrace_cli.dead.progress_bar import progress_bar
from headrace_cli.dead.selection_options import ACTING, Actor, All, Reason, actor_name, explicit, with_selection
from headrace_cli.options import AsJson
from headrace_cli.output import messages, print_json, screen
from headrace_letters.actions import Action
from headrace_letters.bulk_decisions import STATUS_OF
from headrace_letters.index_settings import IndexSettings
from headrace_letters.selection import Selection
from headrace_letters.wording import ACTIONS

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show which letters would change.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask. Without a terminal it never asks.")]


@with_selection(ACTING)
def park(
    selection: Selection,
    every: All = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    actor: Actor = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Park letters: a replay takes them only with `--status parked`.

    If a record itself is wrong, the letters of all workers that rejected it are parked together.
    """
    action = Action(actor_name(actor), "park", explicit(selection, every), reason)
    _decide(action, dry_run=dry_run, ask=not yes, as_json=as_json)


@with_selection(ACTING)
def discard(
    selection: Selection,
    reason: Annotated[str, typer.Option(help="Why, for the audit.", show_default=False)],
    every: All = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Discard letters: they are never replayed. Their records stay on the topic until they expire.

    If a record itself is wrong, the letters of all workers that rejected it are discarded together.
    """
    action = Action(actor_name(actor), "discard", explicit(selection, every), reason)
    _decide(action, dry_run=dry_run, ask=not yes, as_json=as_json)


def audit(
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of actions.")] = 50,
    before: Annotated[int | None, typer.Option(min=1, help="Only actions with a lower number.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the actions on dead letters, the newest first: who, when, what, on which letters, why, and the outcome."""
    rows = asyncio.run(letter_queries.audit(IndexSettings(), limit, before))
    if as_json:
        print_json([asdict(row) for row in rows])
    elif not rows:
        screen().print("no actions yet")
    else:
        screen().print(audit_table(rows))


def _decide(action: Action, *, dry_run: bool, ask: bool, as_json: bool) -> None:
    settings, done = IndexSettings(), ACTIONS[action.name].title
    with progress_bar("counting") as update:
        touched = asyncio.run(letter_actions.touched(settings, action, lambda count, total: update(count, total, "")))
    console = messages() if as_json or not dry_run else screen()
    if touched.letters:
        console.print(touched_table(touched))
    count = 0
    if touched.letters and not dry_run:
        if ask and sys.stdin.isatty():
            typer.confirm(f"{action.name} these {touched.letters:,} letters?", abort=True, err=True)
        with progress_bar(f"{action.name}ing") as update:
            deciding = letter_actions.set_aside(
                settings, action, touched, lambda changed: update(changed, touched.letters, "")
            )
            count = asyncio.run(deciding)
    if as_json:
        print_json({STATUS_OF[action.name]: count, "dry_run": dry_run, "touched": touched_objects(touched)})
    elif dry_run:
        screen().print(f"{touched.letters:,} letters would be {done}")
    else:
        screen().print(f"{count:,} letters {done}")
