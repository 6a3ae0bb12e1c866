"""Takes back a version of an entity that was published by mistake."""

import asyncio
import sys
from typing import Annotated, Any

import typer

from headrace_cli.dead.selection_options import Actor, actor_name
from headrace_cli.errors import CommandError
from headrace_cli.forget_plan import ForgetPlan, forget_plan, publish_plan
from headrace_cli.options import AsJson, OfKind
from headrace_cli.output import inert, messages, print_json, screen, table
from headrace_letters.actions import Action
from headrace_letters.index import open_index
from headrace_letters.index_settings import IndexSettings
from headrace_letters.installed_stores import open_installed_stores
from headrace_letters.selection import Selection
from headrace_schemas.fields import MAX_VERSION, Kind

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)


@app.command()
def forget(
    id: Annotated[str, typer.Argument(metavar="ID", help="The id of a product or keyword.")],
    reason: Annotated[str, typer.Option(help="Why, for the audit.", show_default=False)],
    version: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_VERSION, help="The wrong version.", show_default="the highest that a store has"),
    ] = None,
    kind: OfKind = "product",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what it would do, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Take back a version that was published by mistake, such as 9999999999: it keeps every later change out.

    It publishes a record that takes the version back. Each worker removes the entity, with its version, where its store
    has exactly this version. Then it publishes the newest other change of the source topic again. The workers may run.

    The source topic keeps the wrong record until compaction removes it. Every reader of the topic meets the record that
    takes it back at the same place, so that a rebuild or a new model ends right too. What it cannot prevent: a producer
    that publishes the version once more, and a replay of a dead letter of that version.
    """
    settings = IndexSettings()
    plan = asyncio.run(_plan(settings, kind, id, version))
    if not as_json:
        _print(plan, settings.topics.source(kind))
    if not dry_run:
        if not yes and sys.stdin.isatty():
            typer.confirm("publish this?", abort=True, err=True)
        asyncio.run(_publish(settings, plan, actor_name(actor), reason))
    if as_json:
        print_json(_object(plan) | {"dry_run": dry_run, "published": not dry_run})
    else:
        screen().print("nothing is published" if dry_run else "published; `headrace wait` waits for the stores")


async def _plan(settings: IndexSettings, kind: Kind, id: str, version: int | None) -> ForgetPlan:
    with messages().status("reading the source topic"):
        async with open_installed_stores() as stores:
            plan = await forget_plan(settings, stores, kind, id, version)
    if plan is None:
        # The source topic was not read: without a version it is not known which of its records is meant.
        raise CommandError(f"no store has the {kind} {id!r}: give the wrong version with --version")
    if not plan.found:
        which = "" if version is None else f"version {version} of "
        raise CommandError(f"no store and no record of {settings.topics.source(kind)} has {which}the {kind} {id!r}")
    return plan


async def _publish(settings: IndexSettings, plan: ForgetPlan, actor: str, reason: str) -> None:
    selection = Selection(key=plan.id.encode())
    async with open_index(settings) as index:
        action = Action(actor, "forget", selection, f"version {plan.version} of the {plan.kind}: {reason}")
        number = await index.begin(action)
        await publish_plan(settings, plan)
        again = f"version {plan.again.change.version} is published again" if plan.again else "there is no other version"
        await index.finish(number, 0, f"version {plan.version} is taken back; {again}")


def _print(plan: ForgetPlan, topic: str) -> None:
    screen().print(inert(f"version {plan.version} of the {plan.kind} {plan.id}"))
    shown = table("store", "has now", "after it")
    for name, stored in plan.stored.items():
        now = "nothing" if stored is None else f"version {stored.version}{', deleted' if stored.deleted else ''}"
        goes = stored is not None and stored.version == plan.version
        shown.add_row(name, now, "nothing, then line 2" if goes else "the same, then line 2 if it is newer")
    screen().print(shown)
    places = ", ".join(f"{one.topic}-{one.partition} offset {one.offset}" for one in plan.wrong)
    screen().print(inert(f"the source topic has this version at: {places or 'no place'}"))
    screen().print(inert(f"1. a record on {topic} takes version {plan.version} back"))
    if plan.again is None:
        line = "2. the topic has no other version of it: no store has it until its next change"
    else:
        at = plan.again.record
        line = f"2. version {plan.again.change.version} follows, from {at.topic}-{at.partition} offset {at.offset}"
    screen().print(inert(line))


def _object(plan: ForgetPlan) -> dict[str, Any]:
    again = None
    if plan.again is not None:
        record = plan.again.record
        again = {"version": plan.again.change.version, "partition": record.partition, "offset": record.offset}
    stored = {
        name: None if one is None else {"version": one.version, "deleted": one.deleted}
        for name, one in plan.stored.items()
    }
    wrong = [{"partition": one.partition, "offset": one.offset} for one in plan.wrong]
    return {
        "kind": plan.kind, "id": plan.id, "version": plan.version, "stores": stored, "records": wrong,
        "publishes_again": again,
    }  # fmt: skip
