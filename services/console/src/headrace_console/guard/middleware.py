"""Stands before every route: the host's name, the form's origin, the session, and the headers of every answer."""

from collections.abc import Collection, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import Message, Receive, Scope, Send

from headrace_console.guard.origin import SAFE_METHODS, came_from_us, host_is_ours
from headrace_console.guard.sessions import Sessions

SIGN_IN = "/sign-in"
OPEN_PATHS = (SIGN_IN, "/static/")

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
ANSWER_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: under that a browser says `Origin: null` of our own forms. Other sites learn nothing of either.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """`names`: the hosts that a request may name. `cookie`: what carries a session's secret. `schemes`: http or https,
    both behind a proxy that ends TLS.
    """

    def __init__(
        self, application: FastAPI, *, names: Collection[str], sessions: Sessions, cookie: str, schemes: Collection[str]
    ) -> None:
        self.application = application
        self._names = names
        self._sessions = sessions
        self._cookie = cookie
        self._schemes = schemes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.application(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_headers(message, scope["path"])
            await send(message)

        answer = self._refusal(scope) or self.application
        await answer(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if not host_is_ours(headers.get("host"), self._names):
            return PlainTextResponse("this is not a name of the console; see HEADRACE_CONSOLE__ALLOWED_HOSTS\n", 421)
        if scope["method"] not in SAFE_METHODS and not came_from_us(headers, self._schemes):
            return PlainTextResponse("a form is only taken from the console's own pages\n", 403)
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


def _add_headers(message: Message, path: str) -> None:
    headers = MutableHeaders(scope=message)
    for name, value in ANSWER_HEADERS.items():
        headers.setdefault(name, value)
    headers.setdefault("Cache-Control", "no-cache" if path.startswith("/static/") else "no-store")
