"""A preview or a replay as parts of a whole, for its bars."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from headrace_console.formats.charts import Part
from headrace_console.formats.text import count
from headrace_console.jobs import Job
from headrace_console.labels import OUTCOMES, STATUSES
from headrace_letters.prediction import OUTCOMES as OUTCOME_NAMES
from headrace_letters.preview import Preview
from headrace_letters.replay import Progress
from headrace_letters.selection import Status


@dataclass(frozen=True, slots=True)
class JobChart:
    """`done` of `total`, in `parts`. `phase`: what it does now, or how it ended. `summary`: the end in a sentence."""

    total: int
    done: int
    parts: Sequence[Part]
    phase: str
    summary: str = ""

    @property
    def most(self) -> int:
        """The largest part, which the others are drawn against."""
        return max((part.number for part in self.parts), default=0)

    @property
    def percent(self) -> int:
        return 100 if not self.total else min(100, self.done * 100 // self.total)


def job_chart(job: Job) -> JobChart:
    """Of the job as it is now."""
    if job.kind == "preview":
        return previewed(job, cast(Preview | None, job.progress))
    return replayed(job, cast(Progress | None, job.progress))


def previewed(job: Job, found: Preview | None) -> JobChart:
    """Every outcome that a letter has, in the order in which an operator cares."""
    if found is None:
        return JobChart(0, 0, (), _phase(job, "Counting the letters"))
    parts = [
        Part(OUTCOMES[name].icon, OUTCOMES[name].title, found.counts[name], OUTCOMES[name].about)
        for name in OUTCOME_NAMES
        if found.counts[name]
    ]
    changing = found.counts["apply"] + found.counts["recompute"]
    summary = "" if job.running else f"{count(changing)} of {count(found.total)} would change a store."
    return JobChart(found.total, found.looked_at, parts, _phase(job, "Asking the stores about each letter"), summary)


def replayed(job: Job, progress: Progress | None) -> JobChart:
    """What became of each letter so far; the last part is what has not been sent."""
    if progress is None:
        return JobChart(0, 0, (), _phase(job, "Counting the letters"))
    left = max(0, progress.total - progress.published - progress.refused)
    parts = [
        Part("resolved", "Resolved", progress.resolved, "Applied."),
        Part("superseded", "Superseded", progress.superseded, "A newer version is stored."),
        Part("failed", "Failed again", progress.failed, "Back among the dead letters, with one attempt more."),
        Part("replaying", "On their way", progress.unanswered, "Sent, and not answered yet."),
        Part("expired", "Refused", progress.refused, "Not sent: too old, gone, or nobody's here."),
        Part("unsent", "Not sent", left, "Still waiting."),
    ]
    phases = {
        "canary": "Waiting for what becomes of the canary",
        "replaying": "Sending the letters",
        "waiting": "Waiting for the last answers",
        "stopped": "Stopped by itself",
    }
    if not job.running:
        parts = [part for part in parts if part.number]
    answered = progress.answered + progress.refused
    settled = progress.resolved + progress.superseded
    summary = "" if job.running else f"{count(settled)} of {count(progress.total)} are settled."
    phase = _phase(job, phases.get(progress.state, "Done"), progress.state)
    return JobChart(progress.total, answered, parts, phase, summary)


def by_status(counts: Mapping[Status, int]) -> list[Part]:
    """A cause's letters by what became of them."""
    return [
        Part(word.icon, word.title, counts[name], word.about) for name, word in STATUSES.items() if counts.get(name)
    ]


def _phase(job: Job, now: str, state: str = "") -> str:
    if job.running or (job.state, state) == ("done", "stopped"):
        return now
    return {"done": "Done", "stopped": "Stopped by an operator", "failed": "Failed"}[job.state]
