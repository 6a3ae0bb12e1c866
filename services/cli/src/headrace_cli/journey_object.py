"""The journey of an entity as a JSON object."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from headrace_letters.journey import InStore, Journey, Passage
from headrace_letters.letter_rows import IndexedLetter
from headrace_letters.newest_published import NewestPublished
from headrace_letters.store_answers import LinkedProducts


def journey_object(found: Journey) -> dict[str, Any]:
    """Times are ISO 8601 in UTC; `milliseconds` count from publication. `settled`: whether nothing is missing."""
    sources = found.sources
    return {
        "kind": found.kind,
        "id": found.id,
        "version": found.version,
        "deleted": found.deleted,
        "occurred_at": _time(found.occurred_at),
        "published_at": _time(found.published_at),
        "trace_id": found.trace_id,
        "settled": not found.missing,
        "missing": found.missing,
        "published": _published(sources.published),
        "workers": [_worker(one) for one in found.passages],
        "stores": [_store(one) for one in found.stores],
        "links": [_link_set(one) for one in found.links],
        "linked_products": [_products(one) for one in sources.products],
        "letters": [_letter(one) for one in sources.letters],
        "receipts_read": {
            "records": sources.receipts.records,
            "since": _time(sources.receipts.since),
            "complete": sources.receipts.complete,
        },
    }


def _published(found: NewestPublished) -> dict[str, Any]:
    newest = found.newest
    record = {name: _time(value) for name, value in asdict(newest).items()} if newest else None
    return {
        "topic": found.topic,
        "newest": record,
        "records_read": found.records,
        "since": _time(found.since),
        "whole": found.whole,
        "problem": found.problem,
    }


def _worker(one: Passage) -> dict[str, Any]:
    return {
        "worker": one.worker,
        "outcome": one.outcome,
        "version": one.version,
        "settled_at": _time(one.settled_at),
        "milliseconds": one.milliseconds,
        "missing": one.missing,
        "letter": _letter(one.letter) if one.letter else None,
    }


def _store(one: InStore) -> dict[str, Any]:
    answer = one.answer
    return {
        "store": answer.store,
        "version": answer.version,
        "deleted": answer.deleted,
        "found_by_search": None if answer.searchable is None else answer.searchable > 0,
        "searchable_version": answer.searchable or None,
        "missing": one.missing,
    }


def _link_set(one: InStore) -> dict[str, Any]:
    answer = one.answer
    return {
        "store": answer.store,
        "version": answer.version,
        "deleted": answer.deleted,
        "links": [link.model_dump() for link in answer.links],
        "missing": one.missing,
    }


def _products(one: LinkedProducts) -> dict[str, Any]:
    return {
        "store": one.store,
        "count": one.count,
        "best": [asdict(product) for product in one.products],
        "problem": one.problem,
    }


def _letter(one: IndexedLetter) -> dict[str, Any]:
    letter = one.letter
    return {
        "id": letter.id,
        "worker": letter.worker,
        "version": letter.version,
        "status": one.status,
        "reason": letter.reason,
        "error": letter.error,
        "fingerprint": letter.fingerprint,
        "attempts": letter.attempts,
        "failed_at": _time(letter.failed_at),
    }


def _time(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
