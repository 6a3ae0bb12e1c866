"""Dead letters in a list, and one of them with everything that is known of it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from headrace_console.backend import Backend
from headrace_console.dependencies import Asked, Selected
from headrace_console.formats.payload import HEX_BYTES, hexdump, shown_payload
from headrace_console.labels import reason_title
from headrace_console.page_templates import page
from headrace_console.selection_fields import WrongSelection
from headrace_console.store_answers import StoreAnswer, entity_in_stores
from headrace_letters.actions import AuditRow
from headrace_letters.index import Page
from headrace_letters.letter_rows import IndexedLetter
from headrace_letters.prediction import Prediction, predict
from headrace_letters.selection import Selection
from headrace_runtime.decoder import KafkaRecord
from headrace_worker.stage import Unavailable

router = APIRouter()
PAGE = 50
MOST_HEADERS = 100
DONE = {"replay": "replaying", "park": "parked", "discard": "discarded", "import": "superseded"}
"""What an action looks like in a letter's history."""
RAW_HEADERS = {
    "Content-Type": "application/octet-stream",
    "Content-Disposition": 'attachment; filename="dead-letter.bin"',
    "Content-Security-Policy": "default-src 'none'; sandbox",
}


@router.get("/letters")
async def letters(request: Request, backend: Asked, selection: Selected, after: str | None = None) -> Response:
    """The letters of a selection, newest failure first, fifty at a time."""
    found, counts = await asyncio.gather(
        letters_page(backend, selection, after, PAGE), backend.index.count(replace(selection, status=None))
    )
    return page(request, "letters.html", letters=found, selection=selection, counts=counts, after=after)


async def letters_page(backend: Backend, selection: Selection, after: str | None, limit: int) -> Page:
    """Raises WrongSelection for an `after` that no page has given."""
    try:
        return await backend.index.page(selection, limit=limit, after=after)
    except ValueError:
        raise WrongSelection("this page is not there: begin with the first") from None


@router.get("/letter")
async def letter(request: Request, backend: Asked, id: str) -> Response:
    """One letter: why, what it holds, what the stores hold, what a replay would do, what was done before."""
    found = await _indexed(backend, id)
    (record, prediction), held, actions = await asyncio.gather(
        _record(backend, found), _held(backend, found), backend.index.actions_on(found.letter.id)
    )
    value = record.record.value if record.record else None
    return page(
        request, "letter.html", found=found, letter=found.letter, record=record, held=held,
        history=history(found, actions), payload=shown_payload(value), hex=hexdump(value or b""), hex_bytes=HEX_BYTES,
        prediction=prediction, most_headers=MOST_HEADERS,
        selection=Selection(ids=(found.letter.id,)),
    )  # fmt: skip


@router.get("/letter/raw")
async def raw(backend: Asked, id: str) -> Response:
    """The value as it lies in the topic, for saving and never for showing."""
    found = await _indexed(backend, id)
    record = await backend.records.get(found.letter.at)
    if record is None or record.value is None:
        raise HTTPException(404, "the record has expired, or has no value")
    return Response(record.value, headers=RAW_HEADERS)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a letter. `icon` also names its colour."""

    at: datetime
    icon: str
    title: str
    text: str


def history(found: IndexedLetter, actions: Sequence[AuditRow]) -> list[Event]:
    """Its failures and what operators did, oldest first."""
    events = [
        Event(
            failure.failed_at, "failed", f"Attempt {failure.attempt} failed",
            f"{reason_title(failure.reason)}: {failure.error}",
        )
        for failure in found.failures
    ]  # fmt: skip
    events += [Event(action.at, DONE.get(action.name, "audit"), _said(action), action.reason) for action in actions]
    return sorted(events, key=lambda event: event.at)


def _said(action: AuditRow) -> str:
    done = {"replay": "replayed it", "park": "parked it", "discard": "discarded it", "import": "sent an edited change"}
    return f"{action.actor} {done.get(action.name, action.name)}"


@dataclass(frozen=True, slots=True)
class Read:
    """A record, or why there is none."""

    record: KafkaRecord | None
    problem: str = ""


async def _indexed(backend: Backend, id: str) -> IndexedLetter:
    found = (await backend.index.get([id])).get(id)
    if found is None:
        raise HTTPException(404, "there is no dead letter of this id")
    return found


async def _record(backend: Backend, found: IndexedLetter) -> tuple[Read, Prediction | None]:
    try:
        record = await backend.records.get(found.letter.at)
    except Unavailable as error:
        return Read(None, f"It cannot be read now: {error}"), None
    return Read(record, "" if record else "It has expired from its topic"), await _prediction(backend, found, record)


async def _held(backend: Backend, found: IndexedLetter) -> list[StoreAnswer]:
    letter = found.letter
    if letter.entity_id is None or letter.kind is None:
        return []
    return await entity_in_stores(backend.stores, letter.kind, letter.entity_id)


async def _prediction(backend: Backend, found: IndexedLetter, record: KafkaRecord | None) -> Prediction | None:
    """None where a store that decides does not answer, or nothing is left to replay."""
    if found.status in ("resolved", "superseded"):
        return None
    try:
        (prediction,) = await predict([(found.letter, record)], backend.stores)
    except Unavailable:
        return None
    return prediction
