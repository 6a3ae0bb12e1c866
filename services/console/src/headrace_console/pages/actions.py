"""Preview, replay, park or discard a selection. Nothing changes before the POST of a form."""

from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field, ValidationError

from headrace_console.backend import Backend
from headrace_console.dependencies import CurrentActor, CurrentBackend, QuerySelection
from headrace_console.guard.forms import CheckedForm, Form
from headrace_console.job_steps import preview_steps, replay_steps
from headrace_console.page_templates import page
from headrace_console.selection_fields import query_of, selection_of
from headrace_letters.actions import Action, ActionName
from headrace_letters.replay_order import replayable
from headrace_letters.replay_progress import ReplayOptions
from headrace_letters.selection import Selection, Status

router = APIRouter()


class ReplayForm(BaseModel):
    """The fields of the replay form. `stop_percent`: of the answers; 100: never stop."""

    canary: int = Field(10, ge=0, le=100_000)
    rate: float | None = Field(None, gt=0, le=1_000_000)
    limit: int | None = Field(None, ge=1)
    stop_percent: float = Field(20, gt=0, le=100)
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
async def park_form(request: Request, backend: CurrentBackend, selection: QuerySelection) -> Response:
    """The confirmation of parking: what it means, and for how many letters."""
    return page(
        request, "decision.html", name="park", selection=selection, problem="", **await _counted(backend, selection)
    )


@router.get("/discard")
async def discard_form(request: Request, backend: CurrentBackend, selection: QuerySelection) -> Response:
    """The confirmation of discarding: what it means, for how many letters, and the reason."""
    return page(
        request, "decision.html", name="discard", selection=selection, problem="", **await _counted(backend, selection)
    )


@router.post("/park")
async def park(backend: CurrentBackend, actor: CurrentActor, form: CheckedForm) -> Response:
    """Parks the selection."""
    await backend.index.park(_action(actor, "park", form))
    return RedirectResponse(_back_to(selection_of(form.pairs())), 303)


@router.post("/discard")
async def discard(request: Request, backend: CurrentBackend, actor: CurrentActor, form: CheckedForm) -> Response:
    """Discards the selection; a reason is required."""
    action = _action(actor, "discard", form)
    if not action.reason:
        counted = await _counted(backend, action.selection)
        problem = "Enter a reason. The audit log shows it to whoever looks for this change later."
        return page(
            request, "decision.html", 400, name="discard", selection=action.selection, problem=problem, **counted
        )
    await backend.index.discard(action)
    return RedirectResponse(_back_to(action.selection), 303)


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


def _action(actor: str, name: ActionName, form: Form) -> Action:
    return Action(actor, name, selection_of(form.pairs()), form.get("why"))


async def _taken(backend: Backend, selection: Selection) -> dict[Status, int]:
    """The number of letters that a replay would take, by status."""
    return await backend.index.count(replayable(selection))


async def _counted(backend: Backend, selection: Selection) -> dict[str, Any]:
    return {"counts": await backend.index.count(selection)}


def _back_to(selection: Selection) -> str:
    """A page that shows the result."""
    if selection.ids is not None and len(selection.ids) == 1:
        return f"/letter?{urlencode({'id': selection.ids[0]})}"
    return f"/letters?{query_of(selection)}" if selection.ids is None else "/letters"
