"""The console as an application: its routes, its guard, and how it says what went wrong."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from aiokafka.errors import KafkaError
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from headrace_console.backend import Backend, open_backend
from headrace_console.guard.middleware import Guard
from headrace_console.guard.sessions import Sessions
from headrace_console.guard.tokens import Token
from headrace_console.page_templates import page
from headrace_console.pages import actions, audit, entities, groups, jobs, letters, sign_in, workers
from headrace_console.selection_fields import WrongSelection
from headrace_console.settings import ConsoleSettings
from headrace_worker.stage import Unavailable

STATIC = Path(__file__).parent / "static"


def create_app(
    settings: ConsoleSettings,
    token: str,
    *,
    port: int,
    opened: Callable[[ConsoleSettings], AbstractAsyncContextManager[Backend]] = open_backend,
) -> Guard:
    """`token`: what an operator signs in with. `port`: where it listens, which its cookie is named after."""

    @asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncIterator[None]:
        async with opened(settings) as backend:
            application.state.backend = backend
            yield

    application = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    options = settings.console
    sessions = Sessions(options.session_hours * 3600)
    state = application.state
    state.sessions, state.token, state.encrypted = sessions, Token(token), options.encrypted
    # Cookies know no port: two consoles on one machine would sign each other out.
    state.cookie = f"{'__Host-' if options.encrypted else ''}headrace-console-{port}"
    schemes = {"https"} if options.encrypted else {"http", "https"} if options.allow_http else {"http"}
    for part in (sign_in, groups, letters, actions, jobs, audit, workers, entities):
        application.include_router(part.router)
    application.mount("/static", StaticFiles(directory=STATIC))
    _explain_errors(application)
    # Outside of everything, so that no answer goes past it, that of a fault neither.
    return Guard(application, names=options.names, sessions=sessions, cookie=state.cookie, schemes=schemes)


def _explain_errors(application: FastAPI) -> None:
    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _problem(request, error.status_code, str(error.detail))

    async def wrong(request: Request, error: Exception) -> Response:
        return _problem(request, 400, str(error))

    async def unreadable(request: Request, error: Exception) -> Response:
        return _problem(request, 400, "the address is not one that this console gives")

    async def unavailable(request: Request, error: Exception) -> Response:
        return _problem(request, 503, f"{error}. The page works again once that answers.")

    async def no_kafka(request: Request, error: Exception) -> Response:
        return _problem(request, 503, f"Kafka does not answer ({type(error).__name__}).")

    async def fault(request: Request, error: Exception) -> Response:
        return _problem(request, 500, "This is a fault of the console. Its log has more.")

    application.add_exception_handler(Exception, fault)
    application.add_exception_handler(HTTPException, http)
    application.add_exception_handler(WrongSelection, wrong)
    application.add_exception_handler(RequestValidationError, unreadable)
    application.add_exception_handler(Unavailable, unavailable)
    application.add_exception_handler(KafkaError, no_kafka)


def _problem(request: Request, status: int, detail: str) -> Response:
    return page(request, "problem.html", status, status=status, detail=detail)
