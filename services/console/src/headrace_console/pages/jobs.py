"""Previews and replays while they run, and what came of them."""

from collections.abc import AsyncIterator

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from headrace_console.backend import Backend
from headrace_console.dependencies import Asked
from headrace_console.guard.forms import CheckedForm
from headrace_console.job_chart import job_chart
from headrace_console.jobs import Job
from headrace_console.page_templates import fragment, page

router = APIRouter()
TELL_SECONDS = 0.25


@router.get("/replays")
async def replays(request: Request, backend: Asked) -> Response:
    """The replays that this console has begun since it started."""
    return page(request, "replays.html", jobs=backend.jobs.newest_first("replay"))


@router.get("/jobs/{id}")
async def job_page(request: Request, backend: Asked, id: str) -> Response:
    """How far it is. Without JavaScript the page loads itself again while it runs."""
    job = _job(backend, id)
    return page(request, "job.html", job=job, picture=job_chart(job))


@router.get("/jobs/{id}/events")
async def events(backend: Asked, id: str) -> Response:
    """The page's moving part, again with every change; it ends when the job does."""
    return StreamingResponse(_events(_job(backend, id)), media_type="text/event-stream")


@router.post("/jobs/{id}/stop")
async def stop(backend: Asked, id: str, form: CheckedForm) -> Response:
    """What is published stays published, and the rest waits."""
    job = _job(backend, id)
    await job.stop()
    return RedirectResponse(f"/jobs/{job.id}", 303)


def _job(backend: Backend, id: str) -> Job:
    job = backend.jobs.get(id)
    if job is None:
        raise HTTPException(404, "this console does not know it: it forgets at a restart; see the audit log")
    return job


async def _events(job: Job) -> AsyncIterator[str]:
    async for _ in job.changes(TELL_SECONDS):
        lines = fragment("job_progress.html", job=job, picture=job_chart(job)).splitlines()
        yield "event: progress\n" + "".join(f"data: {line}\n" for line in lines) + "\n"
    yield "event: end\ndata:\n\n"
