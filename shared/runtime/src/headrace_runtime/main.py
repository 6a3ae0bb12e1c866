"""Runs one worker until it is asked to stop: `headrace work NAME`."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
import uvicorn
import uvloop
from pydantic import ValidationError
from pydantic_settings import SettingsError

from headrace_runtime import logs
from headrace_runtime.app import build
from headrace_worker.served_model import OtherModel
from headrace_worker.settings import ProcessSettings, unknown_variables
from headrace_worker.work_thread import busy_threads
from headrace_worker.worker import Observer, Worker, known_variables, load_observer, load_worker

log = structlog.get_logger(__name__)

ASGIApplication = Callable[[Any, Any, Any], Awaitable[None]]


def run(name: str, *, allow_rejects: bool = False) -> int:
    """Runs a worker or an observer until SIGTERM or SIGINT. The exit status: 0 stopped, 1 failed, 2 wrong settings."""
    worker = load_observer(name) or load_worker(name)
    try:
        settings = worker.settings()
        logs.configure(name, settings.log_level)
        for warning in unknown_variables(os.environ, known_variables()):
            log.warning("unknown_setting", advice=warning)
        listener = _listening(settings)
        server = _Server(_application(worker, settings, allow_rejects))
    except ValidationError as error:
        sys.stderr.write(_explained(error))
        return 2
    except SettingsError as error:
        sys.stderr.write(f"headrace: a setting cannot be read: {error}\n")
        return 2
    # uvicorn raises the signal again after it has shut down; a requested stop is not a failure.
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, lambda *_: None)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server.serve(sockets=[listener]))
    status = 1 if server.failed or not server.started else 0
    if busy_threads():
        # Python would wait for the thread without a limit. Nothing that it computes is committed.
        log.warning("thread_abandoned", threads=busy_threads())
        sys.stderr.flush()
        os._exit(status)
    return status


def _listening(settings: ProcessSettings) -> socket.socket:
    """The socket of the HTTP routes. Sets the port of the settings to that of the socket."""
    listener = socket.create_server((settings.http.host, settings.http.port))
    host, port = listener.getsockname()[:2]
    settings.http.port = port
    log.info("http_listening", host=host, port=port)
    return listener


def _application(worker: Worker | Observer, settings: Any, allow_rejects: bool) -> ASGIApplication:
    """An observer reads the settings of several workers: raises ValidationError and SettingsError."""
    if isinstance(worker, Observer):
        return worker.application(settings)
    if allow_rejects:
        settings.breaker.allow_rejects = True
    worker.import_libraries()
    return build(worker, settings)


class _Server(uvicorn.Server):
    """Ends when its application ends. FastStream starts its consumers after it has reported its start to uvicorn; if
    they fail, the process must not continue without them.
    """

    def __init__(self, application: ASGIApplication) -> None:
        super().__init__(
            uvicorn.Config(self._watched, interface="asgi3", lifespan="on", log_config=None, access_log=False)
        )
        self._application = application
        self.failed = False

    async def _watched(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await self._application(scope, receive, send)
            return
        try:
            await self._application(scope, receive, send)
        except OtherModel as error:
            self.failed = True
            log.error("other_model", advice=str(error))
        except Exception as error:
            self.failed = True
            log.error("worker_failed", error=type(error).__name__, exc_info=error)
        finally:
            self.should_exit = True


def _explained(error: ValidationError) -> str:
    """One line for each wrong setting. It does not contain the value, which may be a secret."""
    lines = []
    for problem in error.errors(include_input=False, include_context=False, include_url=False):
        name = "HEADRACE_" + "__".join(str(step).upper() for step in problem["loc"])
        lines.append(f"headrace: the setting {name} is wrong: {problem['msg']}\n")
    return "".join(lines)
