"""The commands of `headrace dead`: list, preview, replay, park, discard and edit dead letters."""

import asyncio
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from headrace_cli.commands import dead_decisions
from headrace_cli.dead import edit_file, letter_actions, letter_queries
from headrace_cli.dead.edits import ANSWER_WITHIN
from headrace_cli.dead.letter_details import letter_details
from headrace_cli.dead.letter_objects import letter_object, preview_object
from headrace_cli.dead.letter_printout import print_letter
from headrace_cli.dead.letter_tables import groups_table, letters_table, preview_table
from headrace_cli.dead.progress_bar import progress_bar
from headrace_cli.dead.reindex import rebuild
from headrace_cli.dead.selection_options import (
    ACTING,
    OPTIONS,
    Actor,
    All,
    Reason,
    actor_name,
    explicit,
    with_selection,
)
from headrace_cli.errors import NOT_DONE
from headrace_cli.options import AsJson
from headrace_cli.output import inert, messages, print_json, screen
from headrace_letters.actions import Action
from headrace_letters.index_settings import IndexSettings
from headrace_letters.replay_progress import STOP_SHARE, Progress, ReplayOptions, refusals, summary
from headrace_letters.selection import Selection
from headrace_letters.wording import PROGRESS

app = typer.Typer(rich_markup_mode="markdown", add_completion=False, no_args_is_help=True)

REFUSALS_SHOWN = 20
NOTHING_TO_REPLAY = "no letters to replay"

Topics = Annotated[
    list[str] | None,
    typer.Option(
        "--topic",
        help="Read this topic instead of the index: of Headrace, Kafka Connect or Spring Kafka. May be repeated.",
        show_default=False,
    ),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Maximum number of letters.", show_default="all")]


@app.callback()
def dead() -> None:
    """List, preview, replay, park, discard and edit dead letters."""


@app.command()
@with_selection(OPTIONS)
def groups(selection: Selection, topic: Topics = None, as_json: AsJson = False) -> None:
    """Show the causes, the most frequent first: number of letters, times, and an example."""
    found = asyncio.run(letter_queries.groups(IndexSettings(), selection, topic or []))
    if as_json:
        print_json(found)
    elif not found:
        screen().print(_none(selection))
    else:
        screen().print(groups_table(found))


@app.command()
@with_selection(OPTIONS)
def ls(
    selection: Selection,
    topic: Topics = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of letters.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List letters, the newest first."""
    found, more = asyncio.run(letter_queries.letters(IndexSettings(), selection, topic or [], limit))
    if as_json:
        print_json([letter_object(letter, indexed) for letter, indexed in found])
        return
    if not found:
        screen().print(_none(selection))
        return
    screen().print(letters_table([(letter, indexed.status if indexed else "") for letter, indexed in found]))
    if more:
        screen().print(f"these are the newest {len(found):,} letters; there are more, see --limit")


@app.command()
def show(
    dead_id: Annotated[str, typer.Argument(metavar="DEAD_ID", help="The id; `dead ls` shows it.")],
    topic: Topics = None,
    as_json: AsJson = False,
) -> None:
    """Show everything about one letter: payload, headers, error, what each store contains, attempts and actions."""
    found = asyncio.run(letter_details(IndexSettings(), dead_id, topic or []))
    if as_json:
        print_json(found)
    else:
        print_letter(screen(), found)


@app.command()
@with_selection(OPTIONS)
def preview(selection: Selection, limit: Limit = None, as_json: AsJson = False) -> None:
    """Show what a replay would do: the number of letters for each outcome.

    It takes waiting letters, or parked ones with `--status parked`. It changes nothing.
    """
    with progress_bar("previewing") as update:
        found = asyncio.run(
            letter_queries.preview_all(
                IndexSettings(), selection, limit, lambda now: update(now.predicted, now.total, "")
            )
        )
    if as_json:
        print_json(preview_object(found))
    elif not found.total:
        screen().print(NOTHING_TO_REPLAY)
    else:
        screen().print(preview_table(found))


@app.command()
@with_selection(ACTING)
def replay(
    selection: Selection,
    every: All = False,
    limit: Limit = None,
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Maximum letters a second.", show_default="no limit")
    ] = None,
    canary: Annotated[int, typer.Option(min=0, help="This many go first; the others only if none fails.")] = 10,
    stop_share: Annotated[
        float, typer.Option(min=0, max=1, help="Stop when more than this share of the answers are failures; 1: never.")
    ] = STOP_SHARE,
    answer_within: Annotated[float, typer.Option(min=1, help="Stop after this many seconds without an answer.")] = 60.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be published.")] = False,
    actor: Actor = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Send letters again, only to the worker that failed, and count the answers.

    It takes waiting letters, or parked ones with `--status parked`. No store gets an older version, because every store
    compares versions. Exit status 1 if some letters failed again, were refused, or were not answered.
    """
    options = ReplayOptions(limit, rate, canary, stop_share, answer_within, dry_run)
    with progress_bar("replaying") as update:

        def seen(progress: Progress) -> None:
            failed = f"{progress.failed:,} {PROGRESS['failed'].title}" if progress.failed else ""
            update(progress.published + progress.refused, progress.total, failed)

        running = letter_actions.replay_all(
            IndexSettings(), explicit(selection, every), options, seen, actor=actor_name(actor), reason=reason
        )
        progress = asyncio.run(running)
    if as_json:
        print_json(asdict(progress) | {"unanswered": progress.unanswered if not dry_run else 0, "dry_run": dry_run})
    else:
        screen().print(inert(_summary(progress, dry_run)), soft_wrap=True)
    if not dry_run and (progress.failed or progress.refused or progress.unanswered or progress.state != "done"):
        raise typer.Exit(NOT_DONE)


@app.command()
@with_selection(ACTING)
def export(
    selection: Selection,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of standard output.")] = None,
    actor: Actor = None,
    reason: Reason = "",
    as_json: Annotated[bool, typer.Option("--json", help="The lines are always JSON.", hidden=True)] = False,
) -> None:
    """Write letters as lines of JSON. Edit their `value`, then run `dead import`."""
    action = Action(actor_name(actor), "export", selection, reason)
    if output is None:
        asyncio.run(edit_file.export(IndexSettings(), action, sys.stdout))
        return
    with output.open("w") as file:
        count = asyncio.run(edit_file.export(IndexSettings(), action, file))
    messages().print(inert(f"{count:,} letters written to {output}"), soft_wrap=True)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A file of `dead export` with edited values.", dir_okay=False)],
    version: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="For lines that need a version and set no `new_version`.",
            show_default="the version of the change that failed",
        ),
    ] = None,
    answer_within: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for workers that have not read the letters' records yet.")
    ] = ANSWER_WITHIN,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be published.")] = False,
    actor: Actor = None,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Publish edited letters as new changes for all workers, each with the version of the change that failed.

    A line is refused if a store has a newer version or a delete of that version. If a store has that version, give
    another one. Lines that were not edited are skipped. Exit status 1 if a line was refused.
    """
    importing = edit_file.import_file(
        IndexSettings(),
        file,
        version,
        answer_within=answer_within,
        dry_run=dry_run,
        actor=actor_name(actor),
        reason=reason,
    )
    done = asyncio.run(importing)
    if as_json:
        print_json(asdict(done) | {"dry_run": dry_run})
    else:
        verb = "would be published" if dry_run else "published"
        screen().print(f"{done.published:,} edited changes {verb}, {done.unchanged:,} lines were not edited")
        for edit in [edit for edit in done.versions if edit["note"] or dry_run][:REFUSALS_SHOWN]:
            note = f": {edit['note']}" if edit["note"] else ""
            messages().print(
                inert(f"{edit['kind']} {edit['id']} takes version {edit['version']}{note}"), soft_wrap=True
            )
        for line in done.refused[:REFUSALS_SHOWN]:
            messages().print(inert(f"{file}:{line['line']}: {line['why']}"), soft_wrap=True)
    if done.refused:
        raise typer.Exit(NOT_DONE)


@app.command()
def reindex(as_json: AsJson = False) -> None:
    """Rebuild the index from the topics. Nothing is removed; decisions of operators stay."""
    with progress_bar("reading") as update:
        done = asyncio.run(rebuild(IndexSettings(), lambda read, total: update(read, total, "")))
    if as_json:
        print_json(asdict(done))
    else:
        counts = f"{done.letters:,} letters, {done.receipts:,} receipts and {done.decisions:,} decisions of operators"
        screen().print(f"the index has {counts}")


for decision in (dead_decisions.park, dead_decisions.discard, dead_decisions.audit):
    app.command()(decision)


def _none(selection: Selection) -> str:
    return "no dead letters match" if selection.as_json() else "there are no dead letters"


def _summary(progress: Progress, dry_run: bool) -> str:
    if not progress.total:
        return NOTHING_TO_REPLAY
    if dry_run:
        return f"{progress.published:,} letters would be sent again{refusals(progress)}"
    return summary(progress) + refusals(progress)
