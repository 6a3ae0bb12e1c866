"""Serves the console until a signal stops it."""

import asyncio
import signal
import socket
import sys

import structlog
import uvicorn
import uvloop

from headrace_console.app import create_app, protected
from headrace_console.guard.admission import SIGN_IN
from headrace_console.guard.tokens import new_token
from headrace_console.settings import ConsoleSettings
from headrace_runtime import logs

log = structlog.get_logger(__name__)

GRACE_SECONDS = 5


def run(port: int | None = None) -> int:
    """Serves until SIGTERM or SIGINT. Returns the exit status: 0 stopped, 1 failed. Raises ValidationError, OSError."""
    settings = ConsoleSettings()
    options = settings.console
    logs.configure("console", settings.log_level)
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listener = socket.create_server((options.host, options.port if port is None else port), family=family)
    bound = listener.getsockname()[1]
    created = None if options.token else new_token()
    token = created or (options.token.get_secret_value() if options.token else "")
    sys.stdout.write(_invitation(settings, bound, created))
    sys.stdout.flush()
    config = uvicorn.Config(
        protected(create_app(settings, token, port=bound)),
        log_config=None,
        access_log=False,
        server_header=False,
        ssl_certfile=options.tls_cert_file,
        ssl_keyfile=options.tls_key_file,
        timeout_graceful_shutdown=GRACE_SECONDS,
        proxy_headers=False,
    )
    server = uvicorn.Server(config)
    # uvicorn raises the signal again after its shutdown. The exit status of a requested stop is 0.
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, lambda *_: None)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server.serve(sockets=[listener]))
    return 0 if server.started else 1


def _invitation(settings: ConsoleSettings, port: int, created: str | None) -> str:
    """The lines to print. A created token is shown nowhere else."""
    options = settings.console
    host = options.called
    host = f"[{host}]" if ":" in host else host
    url = f"{'https' if options.encrypted else 'http'}://{host}:{port}{SIGN_IN}"
    if created is None:
        return f"the console is at {url}; sign in with HEADRACE_CONSOLE__TOKEN\n"
    return f"the console is at {url}?token={created}\nthis link works until the console stops; Ctrl-C stops it\n"
