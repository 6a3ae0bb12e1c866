"""Dependencies of the routes: the backend, the operator's name, and the selection in the query."""

from typing import Annotated, cast

from fastapi import Depends, Request

from headrace_console.backend import Backend
from headrace_console.guard.sessions import Session
from headrace_console.selection_fields import selection_of
from headrace_letters.selection import Selection


def _backend(request: Request) -> Backend:
    return cast(Backend, request.app.state.backend)


def _actor(request: Request) -> str:
    session = cast(Session, request.state.session)
    assert session.actor is not None, "a request without a name is not admitted"
    return session.actor


def _selected(request: Request) -> Selection:
    return selection_of(request.query_params.multi_items())


CurrentBackend = Annotated[Backend, Depends(_backend)]
CurrentActor = Annotated[str, Depends(_actor)]
QuerySelection = Annotated[Selection, Depends(_selected)]
