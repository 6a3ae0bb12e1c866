"""The server's routes and replies. Threads do the work on collections."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json
from qdrant_client import models
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from headrace_local.qdrant_server import points, updates
from headrace_local.qdrant_server.collection import FLUSH_SECONDS, Collection
from headrace_local.qdrant_server.refusal import Refusal
from headrace_local.qdrant_server.store import Store

# qdrant-client compares this with its own version and accepts one minor of difference.
VERSION = "1.20.0"
THREADS = 4

Work = Callable[[dict[str, str], bytes], Any]


def application(store: Store) -> Starlette:
    """The ASGI application over an open store; it closes the store when it ends."""
    threads = ThreadPoolExecutor(THREADS)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        flushing = asyncio.create_task(_flush_forever(store, threads))
        yield
        flushing.cancel()
        threads.shutdown(wait=True)
        store.close()

    def route(method: str, path: str, work: Work) -> Route:
        async def endpoint(request: Request) -> Response:
            body = await request.body()
            return await asyncio.get_running_loop().run_in_executor(threads, _answer, work, request.path_params, body)

        return Route(path, endpoint, methods=[method])

    routes = [
        Route("/", _version),
        *(Route(path, _health) for path in ("/healthz", "/readyz", "/livez")),
        *(route(method, path, work) for method, path, work in _store_routes(store)),
        *(
            route(method, f"/collections/{{name}}{path}", _with_collection(store, work))
            for method, path, work in points.ROUTES
        ),
    ]
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _http_error})


def _store_routes(store: Store) -> list[tuple[str, str, Work]]:
    def create(path: dict[str, str], body: bytes) -> bool:
        return store.create(path["name"], models.CreateCollection.model_validate_json(body))

    def drop_index(path: dict[str, str], body: bytes) -> Any:
        return store.get(path["name"]).apply([updates.drop_index(path["field"])])

    def change_aliases(path: dict[str, str], body: bytes) -> bool:
        return store.change_aliases(models.ChangeAliasesOperation.model_validate_json(body))

    return [
        ("GET", "/collections", lambda path, body: {"collections": [{"name": name} for name in store.collections]}),
        ("GET", "/aliases", lambda path, body: _aliases(store.aliases)),
        ("POST", "/collections/aliases", change_aliases),
        ("GET", "/collections/{name}/aliases", lambda path, body: _aliases(store.aliases_of(path["name"]))),
        ("GET", "/collections/{name}/exists", lambda path, body: {"exists": store.has(path["name"])}),
        ("PUT", "/collections/{name}", create),
        ("DELETE", "/collections/{name}", lambda path, body: store.delete(path["name"])),
        ("DELETE", "/collections/{name}/index/{field}", drop_index),
    ]


def _with_collection(store: Store, work: Callable[[Collection, bytes], Any]) -> Work:
    return lambda path, body: work(store.get(path["name"]), body)


def _answer(work: Work, path: dict[str, str], body: bytes) -> Response:
    began = time.perf_counter()
    reply: dict[str, Any]
    try:
        status, reply = 200, {"result": work(path, body), "status": "ok"}
    except Refusal as refusal:
        status, reply = refusal.status, {"status": {"error": refusal.message}}
    except ValidationError as error:
        status, reply = 400, {"status": {"error": f"Format error in JSON body: {_first(error)}"}}
    except Exception as error:
        logging.exception("a request failed")
        status, reply = 500, {"status": {"error": f"Service internal error: {error}"}}
    return _json(reply | {"time": time.perf_counter() - began}, status)


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{first['msg']} at {'.'.join(str(part) for part in first['loc'])}"


def _json(content: dict[str, Any], status: int = 200) -> Response:
    return Response(to_json(content), status, media_type="application/json")


def _aliases(pairs: dict[str, str]) -> dict[str, Any]:
    return {"aliases": [{"alias_name": alias, "collection_name": target} for alias, target in pairs.items()]}


async def _version(request: Request) -> Response:
    return _json({"title": "qdrant - vector search engine", "version": VERSION})


async def _health(request: Request) -> Response:
    return PlainTextResponse("all shards are ready")


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json({"status": {"error": error.detail}, "time": 0.0}, error.status_code)


async def _flush_forever(store: Store, threads: ThreadPoolExecutor) -> None:
    while True:
        await asyncio.sleep(FLUSH_SECONDS)
        await asyncio.get_running_loop().run_in_executor(threads, store.flush)
