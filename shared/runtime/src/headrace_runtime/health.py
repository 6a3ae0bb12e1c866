"""What /healthz and /readyz report of a worker.

Liveness is only a heartbeat of the poll loop and the retry loop, because a slow store must not restart workers. If a
task without which nothing is read has ended, the worker is dead at once.
Readiness is the absence of problems: the assignment, Kafka, the store, and what is held.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

FIRST_POLL = 50
"""Records of each poll until the first batch is settled: a bad deploy affects no more than these."""

ProblemKind = Literal["assignment", "kafka", "store", "held topic", "held partition", "paused"]
Finder = Literal["batch", "check"]
"""Who found a problem, and says when it ends: a batch that was read, or the check that also runs without any."""

_WORDS: dict[ProblemKind, str] = {
    "assignment": "no partition is assigned",
    "kafka": "unavailable: {}",
    "store": "unavailable: {}",
    "held topic": "held: {}",
    "held partition": "cannot read {}",
    "paused": "{} is paused",
}


@dataclass(frozen=True)
class Problem:
    """Why a worker is not ready. `subject`: the store, topic or partition; `reason`: in words, without a payload.

    `since`: UTC. `began`: seconds on the monotonic clock of its `Health`.
    """

    kind: ProblemKind
    subject: str
    reason: str
    since: datetime
    began: float

    @property
    def text(self) -> str:
        """One line for a person."""
        line = f"{_WORDS[self.kind].format(self.subject)} since {spoken(self.since)}"
        return f"{line}: {self.reason}" if self.reason else line


class Health:
    """The state of a worker that its HTTP routes report.

    `alive_within`: seconds without a heartbeat after which the worker counts as dead. `clock`: seconds, monotonic.
    """

    def __init__(
        self,
        alive_within: float,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._alive_within = alive_within
        self._clock = clock
        self._now = now
        self._last_beat = clock()
        self._tasks: Sequence[asyncio.Future[object]] = ()
        self._problems: dict[tuple[ProblemKind, str, Finder], Problem] = {}
        self._notes: dict[str, str] = {}
        self._settled_a_batch = False
        self._assigned = 0
        self.expired = 0
        self.problem("assignment", "")

    @property
    def assigned(self) -> int:
        """How many partitions are assigned; without one the worker is not ready."""
        return self._assigned

    @assigned.setter
    def assigned(self, partitions: int) -> None:
        self._assigned = partitions
        if partitions:
            self.solved("assignment", "")
        else:
            self.problem("assignment", "")

    def beat(self) -> None:
        """The poll loop or the retry loop is running."""
        self._last_beat = self._clock()

    def needs(self, *tasks: "asyncio.Future[Any] | None") -> None:
        """From now on the worker is dead as soon as one of these tasks has ended."""
        self._tasks = [task for task in tasks if task is not None]

    def settled(self) -> None:
        """A batch is settled: what failed in a batch before it answers again."""
        self._settled_a_batch = True
        self.batch_problems_end()

    def batch_problems_end(self) -> None:
        """Nothing is left of what batches found unavailable: one is settled, or the partitions are gone."""
        for kind, subject, by in list(self._problems):
            if kind in ("kafka", "store") and by == "batch":
                self.solved(kind, subject)

    def poll_size(self, most: int | None) -> int | None:
        """The number of records to poll: few until the first batch is settled."""
        return most if self._settled_a_batch else min(most or FIRST_POLL, FIRST_POLL)

    def problem(self, kind: ProblemKind, subject: str, reason: str = "", *, by: Finder = "batch") -> None:
        """There is a problem, until `solved` is called for it. A repeated call keeps the time when it began."""
        key = (kind, subject, by)
        known = self._problems.get(key)
        self._problems[key] = (
            replace(known, reason=reason)
            if known is not None
            else Problem(kind, subject, reason, self._now(), self._clock())
        )

    def solved(self, kind: ProblemKind, subject: str, *, by: Finder = "batch") -> None:
        """The problem is over. Does nothing if there was none."""
        self._problems.pop((kind, subject, by), None)

    def note(self, subject: str, text: str | None) -> None:
        """Something to report that does not make the worker unready; None removes it."""
        if text is None:
            self._notes.pop(subject, None)
        else:
            self._notes[subject] = text

    def alive(self) -> bool:
        """Whether the last heartbeat is recent enough, and no task that is needed has ended."""
        if any(task.done() for task in self._tasks):
            return False
        return self._clock() - self._last_beat <= self._alive_within

    def open_problems(self) -> list[Problem]:
        """Why the worker is not ready, in the order of `ProblemKind`; empty when it is.

        A problem that a batch and the check both found is one, with the batch's reason and the earlier time.
        """
        found: dict[tuple[ProblemKind, str], Problem] = {}
        for (kind, subject, _), problem in sorted(self._problems.items(), key=_batch_first):
            first = found.setdefault((kind, subject), problem)
            if problem.began < first.began:
                found[kind, subject] = replace(first, since=problem.since, began=problem.began)
        return list(found.values())

    def problems(self) -> list[str]:
        """The open problems, one line each."""
        return [problem.text for problem in self.open_problems()]

    def report(self) -> dict[str, object]:
        """The body of both routes."""
        return {
            "alive": self.alive(),
            "seconds_since_poll": round(self._clock() - self._last_beat, 3),
            "assigned_partitions": self._assigned,
            "expired_unread": self.expired,
            "problems": self.problems(),
            "details": [self._detail(problem) for problem in self.open_problems()],
            "notes": [text for _, text in sorted(self._notes.items())],
        }

    def _detail(self, problem: Problem) -> dict[str, object]:
        return {
            "kind": problem.kind,
            "subject": problem.subject,
            "reason": problem.reason,
            "since": problem.since,
            "seconds": round(self._clock() - problem.began, 3),
        }


def spoken(moment: datetime) -> str:
    """A time in UTC as in "12:03:04 UTC", with its date unless it is today."""
    today = moment.date() == datetime.now(UTC).date()
    return moment.strftime("%H:%M:%S UTC" if today else "%Y-%m-%d %H:%M:%S UTC")


def _batch_first(item: tuple[tuple[ProblemKind, str, Finder], Problem]) -> tuple[int, str, Finder]:
    (kind, subject, by), _ = item
    return list(_WORDS).index(kind), subject, by
