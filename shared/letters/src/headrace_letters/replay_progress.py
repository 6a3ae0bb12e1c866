"""What a replay is asked to do, and how far it is."""

from dataclasses import dataclass, field
from typing import Literal

from headrace_letters.prediction import Outcome
from headrace_letters.wording import OUTCOMES, PROGRESS, ProgressPart

State = Literal["replaying", "canary", "waiting", "done", "stopped"]
STOP_SHARE = 0.5
"""A replay stops when more than this share of the answers are failures, unless the operator sets another share."""


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """`limit`: maximum number of letters. `rate`: maximum letters a second. `canary`: this many letters go first; the
    others follow only if none of them fails. `stop_share`: stop when more than this share of the answers are failures;
    1: never. `answer_within`: stop after this many seconds without an answer. `dry_run`: publish nothing.
    """

    limit: int | None = None
    rate: float | None = None
    canary: int = 0
    stop_share: float = STOP_SHARE
    answer_within: float = 60.0
    dry_run: bool = False


@dataclass(slots=True)
class Progress:
    """How far a replay is. `resolved`, `superseded` and `failed` count answers to the `published` letters. `refused`
    letters are not published; `refusals` counts them by outcome. `why`: what stopped the replay.
    """

    total: int = 0
    published: int = 0
    resolved: int = 0
    superseded: int = 0
    failed: int = 0
    refused: int = 0
    state: State = "replaying"
    why: str = ""
    refusals: dict[Outcome, int] = field(default_factory=dict)

    @property
    def answered(self) -> int:
        return self.resolved + self.superseded + self.failed

    @property
    def unanswered(self) -> int:
        return self.published - self.answered

    @property
    def unsent(self) -> int:
        return max(0, self.total - self.published - self.refused)

    def refuse(self, outcome: Outcome) -> None:
        """Counts a letter that is not published."""
        self.refused += 1
        self.refusals[outcome] = self.refusals.get(outcome, 0) + 1

    def stop(self, why: str) -> None:
        """The replay ends here."""
        self.state, self.why = "stopped", why


def summary(progress: Progress) -> str:
    """The end of a replay in one line."""
    counts: dict[ProgressPart, int] = {
        "resolved": progress.resolved,
        "superseded": progress.superseded,
        "failed": progress.failed,
        "unanswered": progress.unanswered,
    }
    answers = ", ".join(f"{count} {PROGRESS[part].title}" for part, count in counts.items())
    line = f"{progress.state}: {progress.published} sent: {answers}; {progress.refused} {PROGRESS['refused'].title}"
    return line + (f"; {progress.why}" if progress.why else "")


def refusals(progress: Progress) -> str:
    """The refused letters by outcome; "" if there are none."""
    return "".join(f"; {count:,} {OUTCOMES[outcome].title}" for outcome, count in progress.refusals.items())
