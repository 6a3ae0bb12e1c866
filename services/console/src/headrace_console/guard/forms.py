"""The fields of a form, read only if a page of the operator's own session sent them."""

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import Depends, HTTPException, Request

from headrace_console.guard.sessions import Session

MOST_BYTES = 262_144
MOST_FIELDS = 2000
CSRF_FIELD = "csrf"


class Form:
    """What a form sent; a field may come several times."""

    def __init__(self, fields: dict[str, list[str]]) -> None:
        self._fields = fields

    def get(self, name: str, default: str = "") -> str:
        """The field without white space around it."""
        return self._fields.get(name, [default])[0].strip()

    def pairs(self) -> Sequence[tuple[str, str]]:
        """Every field but the session's secret, in the order sent."""
        return [(name, value) for name, values in self._fields.items() if name != CSRF_FIELD for value in values]


async def read_form(request: Request) -> Form:
    """The fields as they came. Raises HTTPException 413 or 400 where they are none."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise HTTPException(413, "the form is too large")
    try:
        return Form(parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError:
        raise HTTPException(400, "the form cannot be read") from None


async def _checked_form(request: Request) -> Form:
    form = await read_form(request)
    session: Session | None = request.state.session
    if session is None or not session.owns(form.get(CSRF_FIELD)):
        raise HTTPException(403, "the page was too old: go back, load it again and send the form once more")
    return form


CheckedForm = Annotated[Form, Depends(_checked_form)]
"""What every route takes that changes something."""
