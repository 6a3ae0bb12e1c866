"""The command `headrace`. Each of its commands is a module of its own, which is imported when the command is called."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from headrace_cli import environment
from headrace_cli.command_help import help_text

COMMANDS = (
    "up", "down", "status", "targets", "topics", "stores", "work", "publish", "wait", "where", "search",
    "bench-search", "links", "relink", "pause", "resume", "forget", "dead",
)  # fmt: skip
ENTRY_POINT_GROUP = "headrace.commands"
"""Maps the name of a command to the Typer application of the installed service that provides it: `module:app`."""


class Commands(TyperGroup):
    """Imports only the command that is called, so that the process of a worker imports little beside its worker.

    A list of the commands, for the help or for the shell, imports none.
    """

    _listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        return [*COMMANDS, *installed_commands()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        module = _module(cmd_name)
        if module is None:
            return None
        if self._listing:
            return TyperCommand(cmd_name, help=help_text(module))
        command = typer.main.get_command(import_module(module).app)
        command.name = cmd_name
        return command

    def format_help(self, ctx: Any, formatter: Any) -> None:
        with self._as_list():
            super().format_help(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        with self._as_list():
            return super().shell_complete(ctx, incomplete)

    @contextmanager
    def _as_list(self) -> Iterator[None]:
        self._listing = True
        try:
            yield
        finally:
            self._listing = False

    def invoke(self, ctx: Any) -> Any:
        """Prints an error that a user can correct as one line; any other error keeps its traceback."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            # Imported only after an error, so that the process of a worker does not import it.
            from headrace_cli.errors import explained

            problem = explained(error)
            if problem is None:
                raise
            typer.echo("".join(f"headrace: {line}\n" for line in problem.lines), err=True, nl=False)
            raise typer.Exit(problem.status) from None


def installed_commands() -> list[str]:
    """The names of the commands that other installed services provide, sorted."""
    return sorted(entry_point.name for entry_point in entry_points(group=ENTRY_POINT_GROUP))


def _module(command: str) -> str | None:
    """The module whose `app` is the command; None if there is no such command."""
    if command in COMMANDS:
        return f"headrace_cli.commands.{command.replace('-', '_')}"
    return next((found.module for found in entry_points(group=ENTRY_POINT_GROUP, name=command)), None)


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
