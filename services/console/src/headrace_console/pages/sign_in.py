"""The sign-in: the token is exchanged for a cookie, and the operator enters a name for the audit."""

from typing import cast

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from headrace_console.guard.admission import SIGN_IN
from headrace_console.guard.forms import CSRF_FIELD, CheckedForm, read_form
from headrace_console.guard.sessions import Session, Sessions
from headrace_console.guard.tokens import Token, TooManyTries
from headrace_console.page_templates import page

router = APIRouter()
MAX_NAME = 80


@router.get(SIGN_IN)
async def sign_in_page(request: Request, token: str | None = None) -> Response:
    """The sign-in page. The token of the printed URL is exchanged for a cookie and removed from the address."""
    session: Session | None = request.state.session
    if token is not None:
        if not _matches(request, token):
            return page(
                request,
                "sign_in.html",
                401,
                problem="This link has expired: it is from an earlier start of the console.",
                known=False,
            )
        return _with_cookie(request, RedirectResponse(SIGN_IN, 303), cast(Sessions, request.app.state.sessions).begin())
    if session is not None and session.actor is not None:
        return RedirectResponse("/", 303)
    return page(request, "sign_in.html", problem="", known=session is not None)


@router.post(SIGN_IN)
async def sign_in(request: Request) -> Response:
    """Signs in with the token, or with a session that was started with the token."""
    form = await read_form(request)
    sessions: Sessions = request.app.state.sessions
    session: Session | None = request.state.session
    known = session is not None and session.owns(form.get(CSRF_FIELD))
    if not known and not _matches(request, form.get("token")):
        return page(request, "sign_in.html", 401, problem="This token is wrong.", known=False)
    name = " ".join(form.get("name").split())
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        problem = f"A name must have 1 to {MAX_NAME} printable characters."
        return page(request, "sign_in.html", 400, problem=problem, known=known)
    # A new secret, so that a secret from before the sign-in cannot be used.
    sessions.end(request.state.secret)
    secret = sessions.begin()
    begun = sessions.get(secret)
    assert begun is not None
    begun.actor = name
    return _with_cookie(request, RedirectResponse("/", 303), secret)


@router.post("/sign-out")
async def sign_out(request: Request, form: CheckedForm) -> Response:
    """Ends the session."""
    cast(Sessions, request.app.state.sessions).end(request.state.secret)
    return RedirectResponse(SIGN_IN, 303)


def _matches(request: Request, given: str) -> bool:
    try:
        return cast(Token, request.app.state.token).matches(given)
    except TooManyTries:
        raise HTTPException(429, "too many wrong tokens: try again in a minute") from None


def _with_cookie(request: Request, answer: Response, secret: str) -> Response:
    encrypted: bool = request.app.state.options.encrypted
    answer.set_cookie(request.app.state.cookie, secret, httponly=True, samesite="strict", secure=encrypted, path="/")
    return answer
