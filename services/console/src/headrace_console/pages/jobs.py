"""The progress and the results of previews and replays."""

from collections.abc import AsyncIterator

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from headrace_console.backend import Backend
from headrace_console.dependencies import CurrentBackend
from headrace_console.guard.forms import CheckedForm
from headrace_console.job_chart import job_chart
from headrace_console.jobs import Job
from headrace_console.page_templates import fragment, page

router = APIRouter()
MIN_SECONDS = 0.25


@router.get("/replays")
async def replays(request: Request, backend: CurrentBackend) -> Response:
    """The replays that this console has started since its own start."""
    return page(request, "replays.html", jobs=backend.jobs.newest_first("replay"))


@router.get("/jobs/{id}")
async def job_page(request: Request, backend: CurrentBackend, id: str) -> Response:
    """The progress of a job. Without JavaScript the page reloads itself while the job runs."""
    job = _job(backend, id)
    return page(request, "job.html", job=job, picture=job_chart(job))


@router.get("/jobs/{id}/events")
async def events(backend: CurrentBackend, id: str) -> Response:
    """Server-sent events: the progress part of the page after each change, until the job ends."""
    return StreamingResponse(_events(_job(backend, id)), media_type="text/event-stream")


@router.post("/jobs/{id}/stop")
async def stop(backend: CurrentBackend, id: str, form: CheckedForm) -> Response:
    """Stops a job. Published letters stay published; the others keep their status."""
    job = _job(backend, id)
    await job.stop()
    return RedirectResponse(f"/jobs/{job.id}", 303)


def _job(backend: Backend, id: str) -> Job:
    job = backend.jobs.get(id)
    if job is None:
        raise HTTPException(404, "this console has no such job; a restart removes all jobs. See the audit log.")
    return job


async def _events(job: Job) -> AsyncIterator[str]:
    async for _ in job.changes(MIN_SECONDS):
        lines = fragment("job_progress.html", job=job, picture=job_chart(job)).splitlines()
        yield "event: progress\n" + "".join(f"data: {line}\n" for line in lines) + "\n"
    yield "event: end\ndata:\n\n"
