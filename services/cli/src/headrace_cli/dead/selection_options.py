"""The options that choose dead letters, and the selection that they make."""

import inspect
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Annotated, Any

import typer

from headrace_cli.environment import ACTOR
from headrace_cli.errors import WRONG_CALL, CommandError
from headrace_letters.selection import STATUSES, Selection, Status
from headrace_worker.worker import worker_names

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _workers(incomplete: str) -> list[str]:
    return [name for name in worker_names() if name.startswith(incomplete)]


def _statuses(incomplete: str) -> list[str]:
    return [status for status in STATUSES if status.startswith(incomplete)]


Ids = Annotated[
    list[str] | None,
    typer.Option("--id", metavar="DEAD_ID", help="Only this letter; may be repeated.", show_default=False),
]
OPTIONS: dict[str, Any] = {
    "worker": Annotated[str | None, typer.Option("--worker", help="Letters of this worker.", autocompletion=_workers)],
    "reason": Annotated[
        str | None, typer.Option("--failed-for", "--reason", metavar="REASON", help="Letters with this reason.")
    ],
    "fingerprint": Annotated[str | None, typer.Option("--fingerprint", help="Letters with this cause of `groups`.")],
    "since": Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Failed since: 2026-03-01T03:00, or 90m, 12h, 2d ago."),
    ],
    "until": Annotated[str | None, typer.Option("--until", metavar="TIME", help="Failed before this time.")],
    "key": Annotated[str | None, typer.Option("--key", help="The record's key; bytes as 0x…")],
    "status": Annotated[
        list[str] | None,
        typer.Option(
            "--status",
            help="Letters with this status; may be repeated.",
            autocompletion=_statuses,
            show_default=False,
        ),
    ],
    "ids": Ids,
}

ACTING: dict[str, Any] = OPTIONS | {
    "reason": Annotated[str | None, typer.Option("--failed-for", metavar="REASON", help="Letters with this reason.")]
}
"""For commands that change letters: there, --reason is the reason of the change."""

Actor = Annotated[
    str | None,
    typer.Option(envvar=ACTOR, help="Your name for the audit.", show_default="your user name", show_envvar=False),
]
Reason = Annotated[str, typer.Option(help="The reason for the audit.", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="All letters. Not together with options that choose letters.")]


def with_selection(options: dict[str, Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds options that choose letters to a command. The command gets the `selection` that they make."""

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def called(**given: Any) -> None:
            options_given = {f"{name}": given.pop(f"of_{name}") for name in options}
            command(selection=selection(**options_given), **given)

        keyword = inspect.Parameter.KEYWORD_ONLY
        signature = inspect.signature(command)
        own = [one.replace(kind=keyword) for name, one in signature.parameters.items() if name != "selection"]
        added = [
            inspect.Parameter(f"of_{name}", keyword, default=None, annotation=kind) for name, kind in options.items()
        ]
        called.__signature__ = signature.replace(parameters=[*added, *own])  # type: ignore[attr-defined]
        called.__annotations__ = {one.name: one.annotation for one in (*added, *own)}
        return called

    return decorated


def selection(
    worker: str | None = None,
    reason: str | None = None,
    fingerprint: str | None = None,
    since: str | None = None,
    until: str | None = None,
    key: str | None = None,
    status: list[str] | None = None,
    ids: list[str] | None = None,
) -> Selection:
    """The selection that the options make. Raises CommandError for a wrong value."""
    now = datetime.now(UTC)
    return Selection(
        worker=worker,
        reason=reason,
        fingerprint=fingerprint,
        since=moment("since", since, now),
        until=moment("until", until, now),
        key=_key(key),
        status=tuple(_status(one) for one in status) if status else None,
        ids=tuple(ids) if ids else None,
    )


def explicit(selection: Selection, every: bool) -> Selection:
    """The selection of a command that changes letters: only --all means all. Raises CommandError."""
    if every == bool(selection.as_json()):
        raise CommandError("choose letters: --fingerprint, --worker, … (see --help), or --all", WRONG_CALL)
    return selection


def moment(option: str, text: str | None, now: datetime) -> datetime | None:
    """A time in ISO 8601, local if it has no zone, or a duration ago. Raises CommandError."""
    if text is None:
        return None
    if ago := re.fullmatch(r"(\d{1,6})([smhd])", text):
        return now - timedelta(**{UNITS[ago[2]]: int(ago[1])})
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise CommandError(
            f"--{option} is a time such as 2026-03-01T03:00, or a duration ago, such as 90m", WRONG_CALL
        ) from None


def actor_name(actor: str | None) -> str:
    """The given name, or the name of the system's user."""
    if actor:
        return actor
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _status(text: str) -> Status:
    for status in STATUSES:
        if status == text:
            return status
    raise CommandError(f"--status is one of {', '.join(STATUSES)}", WRONG_CALL)


def _key(text: str | None) -> bytes | None:
    if text is None or not text.startswith("0x"):
        return None if text is None else text.encode(errors="surrogateescape")
    try:
        return bytes.fromhex(text[2:])
    except ValueError:
        raise CommandError("--key 0x… needs an even number of hexadecimal digits", WRONG_CALL) from None
