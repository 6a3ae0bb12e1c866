"""Admits a request to the routes: a form from an own page, and a session that has a name."""

from collections.abc import Collection, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from headrace_console.guard.origin import SAFE_METHODS, from_own_page
from headrace_console.guard.sessions import Sessions

SIGN_IN = "/sign-in"
OPEN_PATHS = (SIGN_IN, "/static/")


class Admission:
    """ASGI middleware. `cookie`: the cookie that carries a session's secret. `schemes`: http, https, or both behind a
    proxy that ends TLS. A request that is admitted has `state.session` and `state.secret`.
    """

    def __init__(self, app: ASGIApp, *, sessions: Sessions, cookie: str, schemes: Collection[str]) -> None:
        self.app = app
        self._sessions = sessions
        self._cookie = cookie
        self._schemes = schemes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            answer = self._refusal(scope) or self.app
            await answer(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if scope["method"] not in SAFE_METHODS and not from_own_page(headers, self._schemes):
            return PlainTextResponse("the console takes forms only from its own pages\n", 403)
        state: MutableMapping[str, Any] = scope.setdefault("state", {})
        state["secret"] = _cookie_value(headers.get("cookie", ""), self._cookie)
        state["session"] = session = self._sessions.get(state["secret"])
        if scope["path"].startswith(OPEN_PATHS) or (session is not None and session.actor is not None):
            return None
        if scope["method"] in SAFE_METHODS and "text/html" in headers.get("accept", ""):
            return RedirectResponse(SIGN_IN, 303)
        return PlainTextResponse("sign in first\n", 401)


def _cookie_value(header: str, name: str) -> str | None:
    try:
        cookies = SimpleCookie(header)
    except CookieError:
        return None
    return cookies[name].value if name in cookies else None
