"""What most routes take: the backend, who is asking, and the letters that are meant."""

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
    assert session.actor is not None, "the guard lets nobody without a name through"
    return session.actor


def _selected(request: Request) -> Selection:
    return selection_of(request.query_params.multi_items())


Asked = Annotated[Backend, Depends(_backend)]
Actor = Annotated[str, Depends(_actor)]
Selected = Annotated[Selection, Depends(_selected)]
