"""What the demo says while it runs."""

import time
from dataclasses import dataclass, field

from rich.console import Console


@dataclass(frozen=True, slots=True)
class Telling:
    """Lines with the seconds since the start in front, where the servers' lines have theirs."""

    console: Console
    started: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        """One line about what has just been done."""
        self.console.print(f"{text:<72} {time.monotonic() - self.started:6.1f} s", markup=False, soft_wrap=True)
