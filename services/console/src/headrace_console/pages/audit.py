"""The audit log: who did what, when and why."""

from collections.abc import Mapping, Sequence
from typing import get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response

from headrace_console.dependencies import CurrentBackend
from headrace_console.page_templates import page
from headrace_console.selection_fields import WrongSelection, moment_of
from headrace_letters.actions import ActionName, AuditFilter

router = APIRouter()
PAGE = 50
MOST_IDS = 40
"""Ids in a link: an address with more is too long for some servers."""


@router.get("/audit")
async def audit(
    request: Request,
    backend: CurrentBackend,
    before: int | None = None,
    actor: str = "",
    name: str = "",
    since: str = "",
    until: str = "",
) -> Response:
    """The newest actions of the filter first, fifty at a time."""
    chosen = AuditFilter(
        actor=actor.strip() or None,
        name=_name(name),
        since=moment_of("since", since.strip() or None),
        until=moment_of("until", until.strip() or None),
    )
    rows = await backend.index.audit(limit=PAGE + 1, before=before, chosen=chosen)
    given = {"actor": actor, "name": name, "since": since, "until": until}
    filtered = {field: value for field, value in given.items() if value.strip()}
    older = urlencode(filtered | {"before": rows[PAGE - 1].number}) if len(rows) > PAGE else None
    return page(
        request, "audit.html", rows=rows[:PAGE], older=older, before=before, given=given, filtered=urlencode(filtered),
        letters_query=letters_query, in_words=in_words,
    )  # fmt: skip


def letters_query(selection: Mapping[str, object]) -> str | None:
    """The query of the page with the letters of a recorded selection; None if there are too many for a link."""
    pairs: list[tuple[str, object]] = []
    for name, value in selection.items():
        values: Sequence[object] = value if isinstance(value, list) else [value]
        if name == "ids" and len(values) > MOST_IDS:
            return None
        pairs += [("id" if name == "ids" else name, one) for one in values]
    return urlencode(pairs)


def in_words(selection: Mapping[str, object]) -> str:
    """A recorded selection for people."""
    words = []
    for name, value in selection.items():
        if name == "ids" and isinstance(value, list):
            words.append("1 chosen letter" if len(value) == 1 else f"{len(value):,} chosen letters")
        elif isinstance(value, list):
            words.append(" or ".join(map(str, value)))
        else:
            words.append(f"{name} {value}")
    return ", ".join(words) or "all letters"


def _name(text: str) -> ActionName | None:
    for known in get_args(ActionName):
        if text == known:
            return known  # type: ignore[no-any-return]
    if text:
        raise WrongSelection(f"the action must be one of {', '.join(get_args(ActionName))}")
    return None
