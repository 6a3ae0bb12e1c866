"""A progress bar for a command that goes through letters."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from headrace_cli.output import messages

Update = Callable[[int, int, str], None]


@contextmanager
def progress_bar(what: str) -> Iterator[Update]:
    """Yields a function to call with the number done, the total and a note. Only a terminal shows the bar."""
    console = messages()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None, note="")
        yield lambda done, total, note: bar.update(task, completed=done, total=total, note=note)
