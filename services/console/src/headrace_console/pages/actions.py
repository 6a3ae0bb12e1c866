"""What an operator does with a selection: preview, replay, park, discard. Nothing changes before a POST of a form."""

from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field, ValidationError

from headrace_console.backend import Backend
from headrace_console.dependencies import Actor, Asked, Selected
from headrace_console.guard.forms import CheckedForm, Form
from headrace_console.job_steps import preview_steps, replay_steps
from headrace_console.page_templates import page
from headrace_console.selection_fields import query_of, selection_of
from headrace_letters.actions import Action, ActionName
from headrace_letters.replay import ReplayOptions
from headrace_letters.replay_order import replayable
from headrace_letters.selection import Selection, Status

router = APIRouter()


class Chosen(BaseModel):
    """How a replay is to be done, as the form has it. `stop_percent`: of the answers; 100 never stops."""

    canary: int = Field(10, ge=0, le=100_000)
    rate: float | None = Field(None, gt=0, le=1_000_000)
    limit: int | None = Field(None, ge=1)
    stop_percent: float = Field(20, gt=0, le=100)
    why: str = Field("", max_length=2000)

    @property
    def options(self) -> ReplayOptions:
        return ReplayOptions(limit=self.limit, rate=self.rate, canary=self.canary, stop_share=self.stop_percent / 100)


@router.post("/previews")
async def begin_preview(backend: Asked, actor: Actor, form: CheckedForm) -> Response:
    """Asks the stores about each letter, in the background; nothing is written anywhere."""
    selection = selection_of(form.pairs())
    job = backend.jobs.start("preview", actor, selection, preview_steps(backend, selection))
    return RedirectResponse(f"/jobs/{job.id}", 303)


@router.get("/replay")
async def replay_form(request: Request, backend: Asked, selection: Selected) -> Response:
    """How the replay is to be done; what was chosen before comes back."""
    given = Chosen().model_dump() | dict(request.query_params)
    return page(
        request, "replay.html", selection=selection, taken=await _taken(backend, selection), problems={}, given=given
    )


@router.get("/replay/confirm")
async def replay_confirm(request: Request, backend: Asked, selection: Selected) -> Response:
    """What will be done, in a sentence each, before it is done."""
    given = dict(request.query_params)
    taken = await _taken(backend, selection)
    try:
        chosen = _chosen(given)
    except ValidationError as error:
        problems = {str(problem["loc"][0]): problem["msg"] for problem in error.errors()}
        given = Chosen().model_dump() | given
        return page(request, "replay.html", 400, selection=selection, taken=taken, problems=problems, given=given)
    return page(request, "replay_confirm.html", selection=selection, taken=taken, chosen=chosen)


@router.post("/replays")
async def begin_replay(backend: Asked, actor: Actor, form: CheckedForm) -> Response:
    """Publishes the letters to their workers' replay topics, in the background."""
    selection = selection_of(form.pairs())
    try:
        chosen = _chosen(dict(form.pairs()))
    except ValidationError:
        raise HTTPException(400, "the form of the replay holds a wrong value: go back and correct it") from None
    steps = replay_steps(backend, selection, chosen.options, actor, chosen.why)
    job = backend.jobs.start("replay", actor, selection, steps, _in_words(chosen))
    return RedirectResponse(f"/jobs/{job.id}", 303)


@router.get("/park")
async def park_form(request: Request, backend: Asked, selection: Selected) -> Response:
    """What parking means, and for how many."""
    return page(
        request, "decision.html", name="park", selection=selection, problem="", **await _counted(backend, selection)
    )


@router.get("/discard")
async def discard_form(request: Request, backend: Asked, selection: Selected) -> Response:
    """What discarding means, for how many, and why."""
    return page(
        request, "decision.html", name="discard", selection=selection, problem="", **await _counted(backend, selection)
    )


@router.post("/park")
async def park(backend: Asked, actor: Actor, form: CheckedForm) -> Response:
    """Sets the selection aside, at once."""
    await backend.index.park(_action(actor, "park", form))
    return RedirectResponse(_back_to(selection_of(form.pairs())), 303)


@router.post("/discard")
async def discard(request: Request, backend: Asked, actor: Actor, form: CheckedForm) -> Response:
    """Gives the selection up, at once; a reason has to be given."""
    action = _action(actor, "discard", form)
    if not action.reason:
        counted = await _counted(backend, action.selection)
        problem = "Say why: whoever looks for the change later reads it in the audit log."
        return page(
            request, "decision.html", 400, name="discard", selection=action.selection, problem=problem, **counted
        )
    await backend.index.discard(action)
    return RedirectResponse(_back_to(action.selection), 303)


def _chosen(given: dict[str, str]) -> Chosen:
    fields = {name: given[name].strip() for name in Chosen.model_fields if given.get(name, "").strip()}
    return Chosen.model_validate(fields)


def _in_words(chosen: Chosen) -> dict[str, str]:
    words = {"First": f"{chosen.canary:,} as a canary" if chosen.canary else "no canary"}
    words["Rate"] = f"at most {chosen.rate:g} a second" if chosen.rate else "as fast as the worker answers"
    words["Limit"] = f"{chosen.limit:,} letters" if chosen.limit else "all of them"
    stop = f"when more than {chosen.stop_percent:g} % fail again"
    words["Stops"] = stop if chosen.stop_percent < 100 else "only at the end"
    return words | ({"Why": chosen.why} if chosen.why else {})


def _action(actor: str, name: ActionName, form: Form) -> Action:
    return Action(actor, name, selection_of(form.pairs()), form.get("why"))


async def _taken(backend: Backend, selection: Selection) -> dict[Status, int]:
    """What a replay of the selection would take, by status."""
    return await backend.index.count(replayable(selection))


async def _counted(backend: Backend, selection: Selection) -> dict[str, Any]:
    return {"counts": await backend.index.count(selection)}


def _back_to(selection: Selection) -> str:
    """Where what has been done can be seen."""
    if selection.ids is not None and len(selection.ids) == 1:
        return f"/letter?{urlencode({'id': selection.ids[0]})}"
    return f"/letters?{query_of(selection)}" if selection.ids is None else "/letters"
