"""The command `headrace`: each of its commands is a module of its own, imported when it is called."""

import logging
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import typer
from typer.core import TyperGroup

from headrace_cli import environment
from headrace_cli.errors import explained

COMMANDS = (
    "up", "down", "status", "topics", "stores", "work", "publish", "wait", "search", "links", "relink", "dead",
)  # fmt: skip
WITHOUT_ENVIRONMENT = {"up", "down", "status", "generate", "demo"}
"""They read no settings, or start the servers that the settings are to name."""
ENTRY_POINT_GROUP = "headrace.commands"
"""Maps the name of a command to the application of the installed service that has it."""


class Commands(TyperGroup):
    """Imports no command but the one that is called: a worker's process holds its worker and little else."""

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
        """Says an error that a user can do something about in a line, and lets every other show where it is."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            problem = explained(error)
            if problem is None:
                raise
            typer.echo("".join(f"headrace: {line}\n" for line in problem.lines), err=True, nl=False)
            raise typer.Exit(problem.status) from None


def installed_commands() -> list[str]:
    """The names of the commands that other installed services bring, sorted."""
    return sorted(entry_point.name for entry_point in entry_points(group=ENTRY_POINT_GROUP))


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(
    epilog="Exit status: 0 done; 1 not all of it, and standard error says what is missing; 2 wrong call or settings."
)
def headrace(ctx: typer.Context) -> None:
    """Keeps search indexes fresh: catalogue changes from Kafka into Qdrant, Elasticsearch and PostgreSQL/pgvector."""
    # The libraries' warnings say again, and in many lines, what the command's own error says in one.
    logging.getLogger().addHandler(logging.NullHandler())
    if ctx.invoked_subcommand not in WITHOUT_ENVIRONMENT and not ctx.resilient_parsing:
        # A worker gives these warnings itself, in its log.
        if ctx.invoked_subcommand != "work":
            environment.warn_of_unknown()
        environment.read()
