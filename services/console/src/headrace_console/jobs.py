"""Previews, replays, and counts of and decisions about many letters, which run in the background."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import structlog

from headrace_letters.selection import Selection

log = structlog.get_logger(__name__)

MAX_JOBS = 100
MAX_COUNTS = 3
"""Each has the ids of its letters in memory, and an operator decides about the newest."""
JobKind = Literal["preview", "replay", "count", "park", "discard"]
JobState = Literal["running", "done", "stopped", "failed"]


@dataclass(eq=False)
class Job:
    """`progress`: the newest value of its steps; None before the first. `error`: one line, if it failed.

    `options`: the operator's choices in words.
    """

    id: str
    kind: JobKind
    actor: str
    selection: Selection
    options: Mapping[str, str]
    started_at: datetime
    state: JobState = "running"
    progress: Any = None
    error: str = ""
    ended_at: datetime | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    _task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def running(self) -> bool:
        return self.state == "running"

    @property
    def seconds(self) -> float:
        """Its running time so far, or in total."""
        return ((self.ended_at or datetime.now(UTC)) - self.started_at).total_seconds()

    async def stop(self) -> None:
        """Returns after its end. Published letters stay published."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def ends_within(self, seconds: float) -> bool:
        """Whether it ends without an error in this time."""
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=seconds)
        return self.state == "done"

    async def changes(self, min_seconds: float) -> AsyncIterator[None]:
        """Yields now, then after changes, at most once in `min_seconds`, and once after the end."""
        while True:
            changed = self._changed
            yield
            if not self.running:
                return
            await asyncio.sleep(min_seconds)
            await changed.wait()

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class Jobs:
    """The newest jobs of this process."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}

    def start(
        self,
        kind: JobKind,
        actor: str,
        selection: Selection,
        steps: AsyncGenerator[Any, None],
        options: Mapping[str, str] | None = None,
    ) -> Job:
        """Starts a job that runs the steps. Stopping the job closes them."""
        job = Job(secrets.token_urlsafe(9), kind, actor, selection, options or {}, datetime.now(UTC))
        self._jobs[job.id] = job
        self._keep(MAX_JOBS, list(self._jobs.values()))
        self._keep(MAX_COUNTS, [job for job in self._jobs.values() if job.kind == "count"])
        job._task = asyncio.create_task(_run(job, steps))
        return job

    def get(self, id: str) -> Job | None:
        """The job, or None if this process has no such job, as after a restart."""
        return self._jobs.get(id)

    def newest_first(self, kind: JobKind) -> list[Job]:
        """All known jobs of a kind."""
        return [job for job in reversed(self._jobs.values()) if job.kind == kind]

    async def close(self) -> None:
        """Stops all running jobs."""
        await asyncio.gather(*(job.stop() for job in self._jobs.values() if job.running))

    def _keep(self, number: int, jobs: Sequence[Job]) -> None:
        """Forgets the oldest of these jobs, except those that run."""
        for old in [old for old in jobs if not old.running][: max(0, len(jobs) - number)]:
            del self._jobs[old.id]


async def _run(job: Job, steps: AsyncGenerator[Any, None]) -> None:
    try:
        async with contextlib.aclosing(steps):
            async for progress in steps:
                job.progress = progress
                job._notify()
        job.state = "done"
    except asyncio.CancelledError:
        job.state = "stopped"
    except Exception as error:
        job.state, job.error = "failed", str(error).partition("\n")[0] or type(error).__name__
        log.warning("job_failed", kind=job.kind, raised=type(error).__name__)
    finally:
        job.ended_at = datetime.now(UTC)
        job._notify()
