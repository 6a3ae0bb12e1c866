"""The command `headrace`. Each of its commands is a module of its own, which is imported when the command is called."""

import logging
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import typer
from typer.core import TyperGroup

from headrace_cli import environment
from headrace_cli.errors import explained

COMMANDS = (
    "up", "down", "status", "targets", "topics", "stores", "work", "publish", "wait", "where", "search", "links",
    "relink", "pause", "resume", "forget", "dead",
)  # fmt: skip
ENTRY_POINT_GROUP = "headrace.commands"
"""Maps the name of a command to the Typer application of the installed service that provides it."""


class Commands(TyperGroup):
    """Imports only the command that is called, so that the process of a worker imports little beside its worker."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*COMMANDS, *installed_commands()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in COMMANDS:
            application = import_module(f"headrace_cli.commands.{cmd_name}").app
        elif cmd_name in installed_commands():
            (entry_point,) = entry_points(group=ENTRY_POINT_GROUP, name=cmd_name)
            application = entry_point.load()
        else:
            return None
        command = typer.main.get_command(application)
        command.name = cmd_name
        return command

    def invoke(self, ctx: Any) -> Any:
        """Prints an error that a user can correct as one line; any other error keeps its traceback."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            problem = explained(error)
            if problem is None:
                raise
            typer.echo("".join(f"headrace: {line}\n" for line in problem.lines), err=True, nl=False)
            raise typer.Exit(problem.status) from None


def installed_commands() -> list[str]:
    """The names of the commands that other installed services provide, sorted."""
    return sorted(entry_point.name for entry_point in entry_points(group=ENTRY_POINT_GROUP))


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(
    epilog="Exit status: 0 done; 1 not all of it, and standard error lists what is missing; 2 wrong call or settings."
)
def headrace(ctx: typer.Context) -> None:
    """Keeps search indexes fresh: catalogue changes from Kafka into Qdrant, Elasticsearch and PostgreSQL/pgvector."""
    # The command reports in one line what the libraries' warnings report in many.
    logging.getLogger().addHandler(logging.NullHandler())
    if not ctx.resilient_parsing and not isinstance(_called(ctx), environment.WithoutSettings):
        # A worker writes these warnings to its log itself.
        if ctx.invoked_subcommand != "work":
            environment.warn_of_unknown()
        environment.read()


def _called(ctx: typer.Context) -> Any:
    """The command that is called, None if there is none."""
    group: Any = ctx.command
    return group.get_command(ctx, ctx.invoked_subcommand) if ctx.invoked_subcommand else None
