"""A preview, a replay or a decision as parts of a whole, for a bar chart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from headrace_console.formats.charts import Part
from headrace_console.formats.text import count
from headrace_console.job_steps import Counted, Decided
from headrace_console.jobs import Job
from headrace_console.labels import OUTCOMES, PROGRESS, STATUSES
from headrace_letters.prediction import OUTCOMES as OUTCOME_NAMES
from headrace_letters.preview import Preview
from headrace_letters.replay_progress import Progress
from headrace_letters.selection import Status
from headrace_letters.wording import ProgressPart


@dataclass(frozen=True, slots=True)
class JobChart:
    """`done` of `total` letters, in `parts`. `phase`: the current step or the end. `summary`: the result."""

    total: int
    done: int
    parts: Sequence[Part]
    phase: str
    summary: str = ""

    @property
    def most(self) -> int:
        """The largest part; its bar has the full width."""
        return max((part.number for part in self.parts), default=0)

    @property
    def percent(self) -> int:
        return 100 if not self.total else min(100, self.done * 100 // self.total)


def job_chart(job: Job) -> JobChart:
    """The chart of the job in its current state."""
    if job.kind == "preview":
        return preview_chart(job, cast(Preview | None, job.progress))
    if job.kind == "replay":
        return replay_chart(job, cast(Progress | None, job.progress))
    if job.kind == "count":
        return count_chart(job, cast(Counted | None, job.progress))
    return decision_chart(job, cast(Decided | None, job.progress))


def preview_chart(job: Job, found: Preview | None) -> JobChart:
    """One part for each outcome that occurs, the most important first."""
    if found is None:
        return JobChart(0, 0, (), _phase(job, "Counting the letters"))
    parts = [
        Part(OUTCOMES[name].icon, OUTCOMES[name].title, found.counts[name], OUTCOMES[name].about)
        for name in OUTCOME_NAMES
        if found.counts[name]
    ]
    changing = found.counts["apply"] + found.counts["recompute"]
    summary = "" if job.running else f"{count(changing)} of {count(found.total)} would change a store."
    return JobChart(found.total, found.predicted, parts, _phase(job, "Comparing each letter with the stores"), summary)


def replay_chart(job: Job, progress: Progress | None) -> JobChart:
    """One part for each kind of answer; the last part is the letters that were not sent."""
    if progress is None:
        return JobChart(0, 0, (), _phase(job, "Counting the letters"))
    counts: dict[ProgressPart, int] = {
        "resolved": progress.resolved,
        "superseded": progress.superseded,
        "failed": progress.failed,
        "unanswered": progress.unanswered,
        "refused": progress.refused,
        "unsent": progress.unsent,
    }
    parts = [
        Part(PROGRESS[name].icon, PROGRESS[name].title, count, PROGRESS[name].about) for name, count in counts.items()
    ]
    phases = {
        "canary": "Waiting for the answers of the canary",
        "replaying": "Sending the letters",
        "waiting": "Waiting for the last answers",
        "stopped": "Stopped by itself",
    }
    if not job.running:
        parts = [part for part in parts if part.number]
    answered = progress.answered + progress.refused
    closed = progress.resolved + progress.superseded
    summary = "" if job.running else f"{count(closed)} of {count(progress.total)} are resolved or superseded."
    phase = _phase(job, phases.get(progress.state, "Done"), progress.state)
    return JobChart(progress.total, answered, parts, phase, summary)


def count_chart(job: Job, counted: Counted | None) -> JobChart:
    """How many letters a decision would change."""
    number, total = (counted.touched.letters, counted.total) if counted else (0, 0)
    changes = f"{count(number)} {'letter changes' if number == 1 else 'letters change'}."
    return JobChart(total, number, (), _phase(job, "Counting the letters"), "" if job.running else changes)


def decision_chart(job: Job, decided: Decided | None) -> JobChart:
    """How many letters are parked or discarded."""
    done, total = decided or (0, 0)
    summary = "" if job.running else f"{count(done)} {'letter is' if done == 1 else 'letters are'} {job.kind}ed."
    return JobChart(total, done, (), _phase(job, f"{job.kind.title()}ing the letters"), summary)


def by_status(counts: Mapping[Status, int]) -> list[Part]:
    """The letters of a cause by status."""
    return [
        Part(word.icon, word.title, counts[name], word.about) for name, word in STATUSES.items() if counts.get(name)
    ]


def _phase(job: Job, now: str, state: str = "") -> str:
    if job.running or (job.state, state) == ("done", "stopped"):
        return now
    return {"done": "Done", "stopped": "Stopped by an operator", "failed": "Failed"}[job.state]
