"""Renders templates to HTML. All values are escaped; a missing value is an error."""

import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from headrace_console import labels
from headrace_console.formats import charts, text, times
from headrace_console.guard.sessions import Session
from headrace_console.selection_fields import described, key_text, narrowed, pairs_of, query_of
from headrace_letters import wording


@cache
def environment() -> Environment:
    """The environment of the templates, with their filters and functions."""
    made = Environment(
        loader=PackageLoader("headrace_console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        inert=text.inert,
        inert_lines=text.inert_lines,
        count=text.count,
        short=text.short_count,
        bytes=text.byte_count,
        ago=times.time_ago,
        exact=times.time_exact,
        exact_ms=times.exact_ms,
        milliseconds=times.milliseconds,
        delay=times.delay,
        duration=times.duration,
        key_text=key_text,
        selection=described,
        pairs=pairs_of,
        query=query_of,
        narrowed=narrowed,
        header_text=text.header_text,
        pretty=lambda value: json.dumps(value, ensure_ascii=False, default=str),
    )
    made.globals.update(
        sparkline=charts.sparkline,
        delay_columns=charts.delay_columns,
        stacked=charts.stacked,
        bar=charts.bar,
        reason_title=labels.reason_title,
        statuses=labels.STATUSES,
        outcomes=labels.OUTCOMES,
        actions=wording.ACTIONS,
        icons=labels.ICONS,
        style=_version("console.css"),
        script=_version("console.js"),
    )
    return made


def page(request: Request, template: str, code: int = 200, **values: Any) -> HTMLResponse:
    """An answer with the rendered template."""
    session: Session | None = getattr(request.state, "session", None)
    values = {"actor": session.actor if session else None, "csrf": session.csrf if session else "", **values}
    return HTMLResponse(environment().get_template(template).render(path=request.url.path, **values), code)


def fragment(template: str, **values: Any) -> str:
    """A part of a page as HTML."""
    return environment().get_template(template).render(**values)


def _version(name: str) -> str:
    """The file's address; it changes with the content, so that browsers load the new file."""
    content = files("headrace_console").joinpath("static", name).read_bytes()
    return f"/static/{name}?{hashlib.sha256(content).hexdigest()[:12]}"
