"""Preview, replay, park or discard a selection. Nothing changes before the POST of a form."""

from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field, ValidationError

from headrace_console.backend import Backend
from headrace_console.dependencies import CurrentActor, CurrentBackend, QuerySelection
from headrace_console.guard.forms import CheckedForm, Form
from headrace_console.job_steps import Counted, Decision, count_steps, decision_steps, preview_steps, replay_steps
from headrace_console.jobs import Job
from headrace_console.page_templates import page
from headrace_console.selection_fields import query_of, selection_of
from headrace_letters.actions import Action
from headrace_letters.replay_order import replayable
from headrace_letters.replay_progress import STOP_SHARE, ReplayOptions
from headrace_letters.selection import Selection, Status

router = APIRouter()
SHORT_SECONDS = 2.0
"""A count or a decision that takes longer has a page that shows its progress."""
NOT_COUNTED = "This console does not have the count of these letters any more. Check the new number."


class ReplayForm(BaseModel):
    """The fields of the replay form. `stop_percent`: of the answers; 100: never stop."""

    canary: int = Field(10, ge=0, le=100_000)
    rate: float | None = Field(None, gt=0, le=1_000_000)
    limit: int | None = Field(None, ge=1)
    stop_percent: float = Field(100 * STOP_SHARE, gt=0, le=100)
    why: str = Field("", max_length=2000)

    @property
    def options(self) -> ReplayOptions:
        return ReplayOptions(limit=self.limit, rate=self.rate, canary=self.canary, stop_share=self.stop_percent / 100)


@router.post("/previews")
async def begin_preview(backend: CurrentBackend, actor: CurrentActor, form: CheckedForm) -> Response:
    """Starts a preview in the background. A preview writes nothing."""
    selection = selection_of(form.pairs())
    job = backend.jobs.start("preview", actor, selection, preview_steps(backend, selection))
    return RedirectResponse(f"/jobs/{job.id}", 303)


@router.get("/replay")
async def replay_form(request: Request, backend: CurrentBackend, selection: QuerySelection) -> Response:
    """The form of a replay, with the values that were entered before."""
    given = ReplayForm().model_dump() | dict(request.query_params)
    return page(
        request, "replay.html", selection=selection, taken=await _taken(backend, selection), problems={}, given=given
    )


@router.get("/replay/confirm")
async def replay_confirm(request: Request, backend: CurrentBackend, selection: QuerySelection) -> Response:
    """What the replay will do, for confirmation."""
    given = dict(request.query_params)
    taken = await _taken(backend, selection)
    try:
        chosen = _replay_form(given)
    except ValidationError as error:
        problems = {str(problem["loc"][0]): problem["msg"] for problem in error.errors()}
        given = ReplayForm().model_dump() | given
        return page(request, "replay.html", 400, selection=selection, taken=taken, problems=problems, given=given)
    return page(request, "replay_confirm.html", selection=selection, taken=taken, chosen=chosen)


@router.post("/replays")
async def begin_replay(backend: CurrentBackend, actor: CurrentActor, form: CheckedForm) -> Response:
    """Starts a replay in the background."""
    selection = selection_of(form.pairs())
    try:
        chosen = _replay_form(dict(form.pairs()))
    except ValidationError:
        raise HTTPException(400, "the replay form has a wrong value: go back and correct it") from None
    steps = replay_steps(backend, selection, chosen.options, actor, chosen.why)
    job = backend.jobs.start("replay", actor, selection, steps, _in_words(chosen))
    return RedirectResponse(f"/jobs/{job.id}", 303)


@router.get("/park")
async def park_form(
    request: Request, backend: CurrentBackend, actor: CurrentActor, selection: QuerySelection, counted: str = ""
) -> Response:
    """The confirmation of parking: what it means, and which letters change."""
    return await _decision_page(request, backend, Action(actor, "park", selection), counted)


@router.get("/discard")
async def discard_form(
    request: Request, backend: CurrentBackend, actor: CurrentActor, selection: QuerySelection, counted: str = ""
) -> Response:
    """The confirmation of discarding: what it means, which letters change, and the reason."""
    return await _decision_page(request, backend, Action(actor, "discard", selection), counted)


@router.post("/park")
async def park(request: Request, backend: CurrentBackend, actor: CurrentActor, form: CheckedForm) -> Response:
    """Parks the letters that were counted for the page of the form."""
    return await _decide(request, backend, _action(actor, "park", form), form.get("counted"))


@router.post("/discard")
async def discard(request: Request, backend: CurrentBackend, actor: CurrentActor, form: CheckedForm) -> Response:
    """Discards the letters that were counted for the page of the form; a reason is required."""
    action, counted = _action(actor, "discard", form), form.get("counted")
    if not action.reason:
        problem = "Enter a reason. The audit log shows it to whoever looks for this change later."
        return await _decision_page(request, backend, action, counted, problem)
    return await _decide(request, backend, action, counted)


async def _decision_page(
    request: Request, backend: Backend, action: Action, counted: str, problem: str = ""
) -> Response:
    """The form, with the letters of the count `counted`, or of a new one; the progress of a count that takes long."""
    job = _count(backend, action, counted)
    if job is None:
        steps = count_steps(backend, _name(action), action.selection)
        job = backend.jobs.start("count", action.actor, action.selection, steps)
        if not await job.ends_within(SHORT_SECONDS):
            if job.state == "failed":
                raise HTTPException(503, job.error)
            return RedirectResponse(f"/jobs/{job.id}", 303)
    return page(
        request, "decision.html", 400 if problem else 200, name=action.name, selection=action.selection,
        problem=problem, touched=job.progress.touched, counted=job.id, why=action.reason,
    )  # fmt: skip


async def _decide(request: Request, backend: Backend, action: Action, counted: str) -> Response:
    """Goes to the letters, or to the page of the progress if there are many letters."""
    count = _count(backend, action, counted)
    if count is None:
        return await _decision_page(request, backend, action, "", NOT_COUNTED)
    steps = decision_steps(backend, action, count.progress.touched)
    job = backend.jobs.start(_name(action), action.actor, action.selection, steps, {"Why": action.reason})
    done = await job.ends_within(SHORT_SECONDS)
    return RedirectResponse(_back_to(action.selection) if done else f"/jobs/{job.id}", 303)


def _count(backend: Backend, action: Action, id: str) -> Job | None:
    """The finished count with this id, if it was made for this action."""
    job = backend.jobs.get(id)
    if job is None or job.state != "done" or not isinstance(job.progress, Counted):
        return None
    return job if (job.progress.name, job.selection) == (action.name, action.selection) else None


def _name(action: Action) -> Decision:
    return "park" if action.name == "park" else "discard"


def _replay_form(given: dict[str, str]) -> ReplayForm:
    fields = {name: given[name].strip() for name in ReplayForm.model_fields if given.get(name, "").strip()}
    return ReplayForm.model_validate(fields)


def _in_words(chosen: ReplayForm) -> dict[str, str]:
    words = {"Canary": f"{chosen.canary:,} letters" if chosen.canary else "none"}
    words["Rate"] = f"at most {chosen.rate:g} a second" if chosen.rate else "as fast as the worker answers"
    words["Limit"] = f"{chosen.limit:,} letters" if chosen.limit else "all letters"
    stop = f"when more than {chosen.stop_percent:g} % fail again"
    words["Stops"] = stop if chosen.stop_percent < 100 else "never before the end"
    return words | ({"Why": chosen.why} if chosen.why else {})


def _action(actor: str, name: Decision, form: Form) -> Action:
    return Action(actor, name, selection_of(form.pairs()), form.get("why"))


async def _taken(backend: Backend, selection: Selection) -> dict[Status, int]:
    """The number of letters that a replay would take, by status."""
    return await backend.index.count(replayable(selection))


def _back_to(selection: Selection) -> str:
    """A page that shows the result."""
    if selection.ids is not None and len(selection.ids) == 1:
        return f"/letter?{urlencode({'id': selection.ids[0]})}"
    return f"/letters?{query_of(selection)}" if selection.ids is None else "/letters"
