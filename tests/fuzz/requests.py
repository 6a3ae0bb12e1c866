"""Requests to the console by somebody who has signed in: any route, query and form."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import strategies as st

from fuzz.values import Target, texts

Send = Callable[[str, str, bytes], int]
"""Sends a method, a target and the body of a form; returns the status."""

FIELDS = (
    "id", "kind", "worker", "reason", "fingerprint", "since", "until", "key", "status", "after", "before", "actor",
    "name", "all", "counted", "canary", "rate", "token", "change", "window",
)  # fmt: skip
WORDS = ("product", "keyword", "waiting", "parked", "resolved", "true", "1", "0x00", "0xzz", "dead.qdrant-0-1")
fields = st.lists(st.tuples(st.sampled_from(FIELDS) | texts, st.sampled_from(WORDS) | texts), max_size=5)
raw = st.binary(max_size=30).map(lambda content: quote(content, safe="&=+%?;"))
HARMLESS = frozenset({200, 303, 307, 400, 403, 404, 405, 409, 413, 415, 422, 503})
NEVER_ENDS = "/events"


def routes_of(application: Any) -> list[tuple[str, str]]:
    """The method and the path of each route."""
    parts = [part.original_router for part in application.routes if hasattr(part, "original_router")]
    found = {
        (method, route.path)
        for part in parts
        for route in part.routes
        for method in getattr(route, "methods", None) or ()
        if method in ("GET", "POST") and not route.path.endswith(NEVER_ENDS) and "sign" not in route.path
    }
    return sorted(found)


def answering(send: Send, routes: list[tuple[str, str]]) -> Target:
    """Every request to a console has an answer that the console means to give."""

    def answered(route: tuple[str, str], inner: str, query: str, form: str) -> None:
        method, path = route
        part = quote(inner.encode(errors="surrogatepass"), safe="")
        target = re.sub(r"{\w+(:path)?}", lambda _: part or "x", path) + (f"?{query}" if query else "")
        assert send(method, target, form.encode() if method == "POST" else b"") in HARMLESS

    bodies = fields.map(_encoded) | raw
    return Target(answered, {"route": st.sampled_from(routes), "inner": texts, "query": bodies, "form": bodies})


def _encoded(pairs: list[tuple[str, str]]) -> str:
    return urlencode([tuple(part.encode(errors="surrogatepass") for part in pair) for pair in pairs])
