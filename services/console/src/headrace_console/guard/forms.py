"""The fields of a form; the form must come from a page of the operator's own session."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from starlette.datastructures import FormData

from headrace_console.guard.sessions import Session

MAX_FORM_BYTES = 262_144
MAX_FIELDS = 2000
CSRF_FIELD = "csrf"


class Form:
    """The fields that a form sent; a field may occur several times."""

    def __init__(self, fields: FormData) -> None:
        self._fields = fields

    def get(self, name: str) -> str:
        """The field without surrounding white space; "" if it is missing."""
        return str(self._fields.get(name, "")).strip()

    def pairs(self) -> Sequence[tuple[str, str]]:
        """All fields in the order sent, without the session's secret."""
        return [(name, str(value)) for name, value in self._fields.multi_items() if name != CSRF_FIELD]


async def read_form(request: Request) -> Form:
    """The fields as they were sent. Raises HTTPException 400 for too many fields or a file, 413 for too many bytes."""
    return Form(await request.form(max_files=0, max_fields=MAX_FIELDS, max_part_size=MAX_FORM_BYTES))


async def _checked_form(request: Request) -> Form:
    form = await read_form(request)
    session: Session | None = request.state.session
    if session is None or not session.owns(form.get(CSRF_FIELD)):
        raise HTTPException(403, "this page is too old: go back, reload it and send the form again")
    return form


CheckedForm = Annotated[Form, Depends(_checked_form)]
"""Each route that changes something takes this."""
