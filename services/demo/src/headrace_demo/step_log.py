"""The lines that the demo prints while it runs."""

import time

from rich.console import Console


class StepLog:
    """Prints lines with the seconds since the start, aligned with the lines of the servers."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._started = time.monotonic()

    def done(self, text: str) -> None:
        """One line about the step that is done."""
        self.console.print(f"{text:<72} {time.monotonic() - self._started:6.1f} s", markup=False, soft_wrap=True)
