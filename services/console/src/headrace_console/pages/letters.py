"""Lists of dead letters, and everything about one of them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from headrace_console.backend import Backend
from headrace_console.dependencies import CurrentBackend, QuerySelection
from headrace_console.formats.payload import HEX_BYTES, hexdump, shown_payload
from headrace_console.labels import reason_title
from headrace_console.page_templates import page
from headrace_console.selection_fields import WrongSelection
from headrace_letters.actions import AuditRow
from headrace_letters.edit_preview import edit_versions
from headrace_letters.edit_version import EditVersion
from headrace_letters.letter_pages import Page
from headrace_letters.letter_rows import IndexedLetter
from headrace_letters.prediction import Prediction, predict
from headrace_letters.selection import Selection
from headrace_letters.store_answers import StoreAnswer, entity_in_stores
from headrace_letters.wording import ACTIONS
from headrace_runtime.dead_letters import omitted_size
from headrace_runtime.decoder import KafkaRecord
from headrace_worker.stage import Unavailable

router = APIRouter()
PAGE = 50
MOST_HEADERS = 100
ACTION_ICONS = {"replay": "replaying", "park": "parked", "discard": "discarded", "import": "superseded"}
RAW_HEADERS = {
    "Content-Type": "application/octet-stream",
    "Content-Disposition": 'attachment; filename="dead-letter.bin"',
    "Content-Security-Policy": "default-src 'none'; sandbox",
}


@router.get("/letters")
async def letters(
    request: Request, backend: CurrentBackend, selection: QuerySelection, after: str | None = None
) -> Response:
    """The letters of a selection, newest failure first, fifty at a time."""
    found, counts = await asyncio.gather(
        letters_page(backend, selection, after, PAGE), backend.index.count(replace(selection, status=None))
    )
    return page(request, "letters.html", letters=found, selection=selection, counts=counts, after=after)


async def letters_page(backend: Backend, selection: Selection, after: str | None, limit: int) -> Page:
    """A page of letters. Raises WrongSelection for an `after` that no page returned."""
    try:
        return await backend.index.page(selection, limit=limit, after=after)
    except ValueError:
        raise WrongSelection("this page does not exist: start with the first page") from None


@router.get("/letter")
async def letter(request: Request, backend: CurrentBackend, id: str) -> Response:
    """One letter: the failure, its record, what the stores contain, what a replay would do, and its history."""
    found = await _indexed(backend, id)
    (record, prediction), stored, actions, edit = await asyncio.gather(
        _record(backend, found),
        _stored(backend, found),
        backend.index.actions_on(found.letter.id),
        _edit(backend, found),
    )
    value = record.record.value if record.record else None
    return page(
        request, "letter.html", found=found, letter=found.letter, record=record, stored=stored,
        history=history(found, actions), payload=shown_payload(value), hex=hexdump(value or b""), hex_bytes=HEX_BYTES,
        prediction=prediction, edit=edit, most_headers=MOST_HEADERS,
        selection=Selection(ids=(found.letter.id,)),
    )  # fmt: skip


@router.get("/letter/raw")
async def raw(backend: CurrentBackend, id: str) -> Response:
    """The bytes of the value, as a download; a browser never displays them."""
    found = await _indexed(backend, id)
    record = await backend.records.get(found.letter)
    if record is None or record.value is None:
        raise HTTPException(404, "the record has expired or has no value")
    return Response(record.value, headers=RAW_HEADERS)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a letter. `icon` also names its colour."""

    at: datetime
    icon: str
    title: str
    text: str


def history(found: IndexedLetter, actions: Sequence[AuditRow]) -> list[Event]:
    """The failures of the letter and the actions on it, oldest first."""
    events = [
        Event(
            failure.failed_at, "failed", f"Attempt {failure.attempt} failed",
            f"{reason_title(failure.reason)}: {failure.error}",
        )
        for failure in found.failures
    ]  # fmt: skip
    events += [
        Event(action.at, ACTION_ICONS.get(action.name, "audit"), _title(action), action.reason) for action in actions
    ]
    return sorted(events, key=lambda event: event.at)


def _title(action: AuditRow) -> str:
    done = {str(name): word.title for name, word in ACTIONS.items()}
    return f"{action.actor} {done.get(action.name, action.name)} it"


@dataclass(frozen=True, slots=True)
class Read:
    """A record, or why it is missing."""

    record: KafkaRecord | None
    problem: str = ""


async def _indexed(backend: Backend, id: str) -> IndexedLetter:
    found = (await backend.index.get([id])).get(id)
    if found is None:
        raise HTTPException(404, "there is no dead letter with this id")
    return found


async def _record(backend: Backend, found: IndexedLetter) -> tuple[Read, Prediction | None]:
    try:
        record = await backend.records.get(found.letter)
    except Unavailable as error:
        return Read(None, f"It cannot be read now: {error}"), None
    return Read(record, _missing(record)), await _prediction(backend, found, record)


def _missing(record: KafkaRecord | None) -> str:
    """Why the payload cannot be shown; "" if it can."""
    if record is None:
        return "It has expired from its topic"
    size = omitted_size(record)
    return "" if size is None else f"It is not here: its {size:,} bytes were too large for the dead-letter topic"


async def _stored(backend: Backend, found: IndexedLetter) -> list[StoreAnswer]:
    letter = found.letter
    if letter.entity_id is None or letter.kind is None:
        return []
    return await entity_in_stores(backend.stores, letter.kind, letter.entity_id)


async def _edit(backend: Backend, found: IndexedLetter) -> EditVersion | None:
    """Which version an edit would get now; None if there can be no edit, or if a store does not answer."""
    try:
        return (await edit_versions([found], backend.stores)).get(found.letter.id)
    except Unavailable:
        return None


async def _prediction(backend: Backend, found: IndexedLetter, record: KafkaRecord | None) -> Prediction | None:
    """None if a store that decides does not answer, or if the letter is resolved or superseded."""
    if found.status in ("resolved", "superseded"):
        return None
    try:
        (prediction,) = await predict([(found.letter, record)], backend.stores)
    except Unavailable:
        return None
    return prediction
