"""The console as a web application: its routes, what protects them, and its error pages."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from aiokafka.errors import KafkaError
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp

from headrace_clients.kafka_obstacle import obstacle
from headrace_console.backend import Backend, open_backend
from headrace_console.console_metrics import ConsoleMetrics
from headrace_console.guard.admission import Admission
from headrace_console.guard.forms import MAX_FORM_BYTES
from headrace_console.guard.security_headers import SecurityHeaders
from headrace_console.guard.sessions import Sessions
from headrace_console.guard.tokens import Token
from headrace_console.page_templates import page
from headrace_console.pages import actions, audit, entities, freshness, groups, jobs, letters, sign_in, workers
from headrace_console.selection_fields import WrongSelection
from headrace_console.settings import ConsoleOptions, ConsoleSettings
from headrace_worker.stage import Unavailable

STATIC = Path(__file__).parent / "static"


def create_app(
    settings: ConsoleSettings,
    token: str,
    *,
    port: int,
    opened: Callable[[ConsoleSettings], AbstractAsyncContextManager[Backend]] = open_backend,
) -> FastAPI:
    """The routes; serve them only as `protected`.

    `token`: what an operator signs in with. `port`: the port that the console listens on.
    """

    @asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncIterator[None]:
        async with opened(settings) as backend:
            application.state.backend = backend
            yield

    application = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    options, state = settings.console, application.state
    state.options, state.token, state.kafka = options, Token(token), settings.kafka
    state.sessions = Sessions(options.session_hours * 3600)
    # Browsers send a cookie to every port of a host. Without the port in its name, the operators of two consoles on one
    # machine would sign each other out.
    state.cookie = f"{'__Host-' if options.encrypted else ''}headrace-console-{port}"
    for part in (sign_in, freshness, groups, letters, actions, jobs, audit, workers, entities):
        application.include_router(part.router)
    application.mount("/static", StaticFiles(directory=STATIC))
    _explain_errors(application)
    return application


def protected(application: FastAPI) -> ASGIApp:
    """The application that `create_app` made, behind everything that a request has to pass.

    These are no middlewares of FastAPI's own, because its answers to internal errors do not pass those.
    """
    options: ConsoleOptions = application.state.options
    schemes = {"https"} if options.encrypted else {"http", "https"} if options.allow_http else {"http"}
    admission = Admission(
        application, sessions=application.state.sessions, cookie=application.state.cookie, schemes=schemes
    )
    measured = ConsoleMetrics(RequestBodyLimitMiddleware(admission, MAX_FORM_BYTES))
    # DNS rebinding: a page of another site whose name points to this machine still sends that name.
    named = TrustedHostMiddleware(measured, allowed_hosts=sorted(options.names), www_redirect=False)
    return SecurityHeaders(named)


def _explain_errors(application: FastAPI) -> None:
    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _problem(request, error.status_code, str(error.detail))

    async def wrong(request: Request, error: Exception) -> Response:
        return _problem(request, 400, str(error))

    async def unreadable(request: Request, error: Exception) -> Response:
        return _problem(request, 400, "this address is not valid")

    async def unavailable(request: Request, error: Exception) -> Response:
        return _problem(request, 503, f"{error}. The page works again when it answers.")

    async def no_kafka(request: Request, error: Exception) -> Response:
        why = await obstacle(request.app.state.kafka)
        words = why.detail if why is not None else f"Kafka does not answer ({type(error).__name__})"
        return _problem(request, 503, f"{words}. The page works again when it answers.")

    async def fault(request: Request, error: Exception) -> Response:
        return _problem(request, 500, "This is an error in the console. See its log.")

    application.add_exception_handler(Exception, fault)
    application.add_exception_handler(HTTPException, http)
    application.add_exception_handler(WrongSelection, wrong)
    application.add_exception_handler(RequestValidationError, unreadable)
    application.add_exception_handler(Unavailable, unavailable)
    application.add_exception_handler(KafkaError, no_kafka)


def _problem(request: Request, status: int, detail: str) -> Response:
    return page(request, "problem.html", status, status=status, detail=detail)
