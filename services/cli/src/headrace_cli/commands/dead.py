"""Dead letters: looked at, previewed, replayed, set aside, given up, edited."""

import asyncio
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from headrace_cli.dead import edit_file, letter_actions, letter_queries
from headrace_cli.dead.letter_details import letter_shown, print_letter
from headrace_cli.dead.letter_tables import (
    SAID,
    groups_table,
    letter_object,
    letters_table,
    preview_object,
    preview_table,
)
from headrace_cli.dead.progress_bar import counting
from headrace_cli.dead.selection_options import ACTING, OPTIONS, Actor, All, Reason, acting, chooses, chosen
from headrace_cli.errors import NOT_DONE
from headrace_cli.options import AsJson
from headrace_cli.output import inert, messages, print_json, screen
from headrace_letters.actions import Action
from headrace_letters.index_settings import IndexSettings
from headrace_letters.replay import Progress, ReplayOptions, told
from headrace_letters.selection import Selection

app = typer.Typer(rich_markup_mode="markdown", add_completion=False, no_args_is_help=True)

REFUSALS_SHOWN = 20

Topics = Annotated[
    list[str] | None,
    typer.Option(
        "--topic",
        help="Read this topic itself, not the index: ours, or one of Kafka Connect or Spring. May be repeated.",
        show_default=False,
    ),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Letters at most.", show_default="all")]


@app.callback()
def dead() -> None:
    """The changes that no retry would help: which there are, why, what a replay would do, and the replay."""


@app.command()
@chooses(OPTIONS)
def groups(selection: Selection, topic: Topics = None, as_json: AsJson = False) -> None:
    """Show the causes, the most frequent first: how many letters, since when, and an example."""
    found = asyncio.run(letter_queries.groups(IndexSettings(), selection, topic or []))
    if as_json:
        print_json(found)
    elif not found:
        screen().print(_none(selection))
    else:
        screen().print(groups_table(found))


@app.command()
@chooses(OPTIONS)
def ls(
    selection: Selection,
    topic: Topics = None,
    limit: Annotated[int, typer.Option(min=1, help="Letters at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List letters, the newest first: which worker, why, which record."""
    found, more = asyncio.run(letter_queries.letters(IndexSettings(), selection, topic or [], limit))
    if as_json:
        print_json([letter_object(letter, indexed) for letter, indexed in found])
        return
    if not found:
        screen().print(_none(selection))
        return
    screen().print(letters_table([(letter, indexed.status if indexed else "") for letter, indexed in found]))
    if more:
        screen().print(f"more follow: these are the newest {len(found):,}; see --limit")


@app.command()
def show(
    dead_id: Annotated[str, typer.Argument(metavar="DEAD_ID", help="As `dead ls` shows it.")],
    topic: Topics = None,
    as_json: AsJson = False,
) -> None:
    """Show one letter whole: payload, bytes, headers, the error, what each store holds of it, its attempts."""
    found = asyncio.run(letter_shown(IndexSettings(), dead_id, topic or []))
    if as_json:
        print_json(found)
    else:
        print_letter(screen(), found)


@app.command()
@chooses(OPTIONS)
def preview(selection: Selection, limit: Limit = None, as_json: AsJson = False) -> None:
    """Say what a replay would do: how many letters would apply, are superseded, deleted, or applied already.

    It takes what waits, and what is parked with `--status parked`, and changes nothing.
    """
    with counting("looking") as look:
        found = asyncio.run(
            letter_queries.look_ahead(IndexSettings(), selection, limit, lambda now: look(now.looked_at, now.total, ""))
        )
    if as_json:
        print_json(preview_object(found))
    elif not found.total:
        screen().print("no letter waits")
    else:
        screen().print(preview_table(found))


@app.command()
@chooses(ACTING)
def replay(
    selection: Selection,
    every: All = False,
    limit: Limit = None,
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Letters a second at most.", show_default="no limit")
    ] = None,
    canary: Annotated[int, typer.Option(min=0, help="So many first; the rest only if none of them fails.")] = 10,
    stop_share: Annotated[
        float, typer.Option(min=0, max=1, help="Stop when more than this share of the answers are failures; 1: never.")
    ] = 0.5,
    answer_within: Annotated[
        float, typer.Option(min=1, help="Seconds without an answer from the worker after which to stop.")
    ] = 60.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Publish nothing; say what would be.")] = False,
    actor: Actor = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Send letters again, to the worker that failed and to no other, and follow what becomes of them.

    Takes what waits, and what is parked with `--status parked`. Nothing grows older by it: every store compares the
    version. Exit status 1 if some failed again, were refused, or have no answer.
    """
    options = ReplayOptions(limit, rate, canary, stop_share, answer_within, dry_run)
    with counting("replaying") as look:

        def seen(progress: Progress) -> None:
            failed = f"{progress.failed:,} failed" if progress.failed else ""
            look(progress.published + progress.refused, progress.total, failed)

        running = letter_actions.replay_all(
            IndexSettings(), chosen(selection, every), options, seen, actor=acting(actor), reason=reason
        )
        progress = asyncio.run(running)
    if as_json:
        print_json(asdict(progress) | {"unanswered": progress.unanswered if not dry_run else 0, "dry_run": dry_run})
    else:
        screen().print(inert(_told(progress, dry_run)), soft_wrap=True)
    if not dry_run and (progress.failed or progress.refused or progress.unanswered or progress.state != "done"):
        raise typer.Exit(NOT_DONE)


@app.command()
@chooses(ACTING)
def park(
    selection: Selection, every: All = False, actor: Actor = None, reason: Reason = "", as_json: AsJson = False
) -> None:
    """Set letters aside: a replay takes them only if it names them as parked."""
    action = Action(acting(actor), "park", chosen(selection, every), reason)
    count = asyncio.run(letter_actions.park(IndexSettings(), action))
    if as_json:
        print_json({"parked": count})
    else:
        screen().print(f"{count:,} letters parked")


@app.command()
@chooses(ACTING)
def discard(
    selection: Selection,
    reason: Annotated[str, typer.Option(help="Why, for the audit.", show_default=False)],
    every: All = False,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Give letters up. Their records stay on the topic until it drops them."""
    action = Action(acting(actor), "discard", chosen(selection, every), reason)
    count = asyncio.run(letter_actions.discard(IndexSettings(), action))
    if as_json:
        print_json({"discarded": count})
    else:
        screen().print(f"{count:,} letters discarded")


@app.command()
@chooses(ACTING)
def export(
    selection: Selection,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file; standard output without.")] = None,
    actor: Actor = None,
    reason: Reason = "",
    as_json: Annotated[bool, typer.Option("--json", help="Lines are JSON in any case.", hidden=True)] = False,
) -> None:
    """Write letters as lines of JSON whose `value` can be edited, for `dead import`."""
    action = Action(acting(actor), "export", selection, reason)
    if output is None:
        asyncio.run(edit_file.export(IndexSettings(), action, sys.stdout))
        return
    with output.open("w") as file:
        count = asyncio.run(edit_file.export(IndexSettings(), action, file))
    messages().print(inert(f"{count:,} letters written to {output}"), soft_wrap=True)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="As `dead export` wrote it, with some `value` edited.", dir_okay=False)],
    version: Annotated[
        int | None,
        typer.Option(
            min=1, help="Of lines that set no `new_version`.", show_default="the smallest above every store's"
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Publish nothing; say what would be.")] = False,
    actor: Actor = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Publish edited letters as new changes, through all workers, each with a version of its own.

    Lines that nobody edited are left alone. Exit status 1 if a line was refused.
    """
    importing = edit_file.import_file(
        IndexSettings(), file, version, dry_run=dry_run, actor=acting(actor), reason=reason
    )
    done = asyncio.run(importing)
    if as_json:
        print_json(asdict(done) | {"dry_run": dry_run})
    else:
        verb = "would be published" if dry_run else "published"
        screen().print(f"{done.published:,} edited changes {verb}, {done.unchanged:,} lines were not edited")
        for line in done.refused[:REFUSALS_SHOWN]:
            messages().print(inert(f"{file}:{line['line']}: {line['why']}"), soft_wrap=True)
    if done.refused:
        raise typer.Exit(NOT_DONE)


@app.command()
def reindex(as_json: AsJson = False) -> None:
    """Make the index again from the topics. Nothing is taken away; what operators decided stays."""
    with counting("reading") as look:
        done = asyncio.run(letter_actions.make_again(IndexSettings(), lambda read, of: look(read, of, "")))
    if as_json:
        print_json(asdict(done))
    else:
        counts = f"{done.letters:,} letters, {done.receipts:,} receipts and {done.decisions:,} decisions of operators"
        screen().print(f"the index holds {counts}")


def _none(selection: Selection) -> str:
    return "there are no such dead letters" if selection.as_json() else "there are no dead letters"


def _told(progress: Progress, dry_run: bool) -> str:
    if not progress.total:
        return "no letter waits"
    refused = "".join(f"; {count:,} {SAID[outcome]}" for outcome, count in progress.refusals.items())
    if dry_run:
        return f"{progress.published:,} letters would be sent again" + refused
    return told(progress) + refused
