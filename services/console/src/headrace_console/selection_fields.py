"""Converts a selection of dead letters to the fields of a query or a form, and back."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast, get_args
from urllib.parse import urlencode

from headrace_letters.selection import Selection, Status

HEX = "0x"
MAX_IDS = 1000

Pairs = Sequence[tuple[str, str]]


class WrongSelection(ValueError):
    """A field has a wrong value; the text has the field and the reason."""


def selection_of(pairs: Iterable[tuple[str, str]]) -> Selection:
    """Ignores empty fields and unknown names. Raises WrongSelection."""
    given: dict[str, list[str]] = {}
    for name, value in pairs:
        if value := value.strip():
            given.setdefault(name, []).append(value)

    def one(name: str) -> str | None:
        return given[name][0] if name in given else None

    return Selection(
        worker=one("worker"),
        reason=one("reason"),
        fingerprint=one("fingerprint"),
        since=moment_of("since", one("since")),
        until=moment_of("until", one("until")),
        key=_key(one("key")),
        status=tuple(map(_status, given["status"])) if "status" in given else None,
        ids=_ids(given["id"]) if "id" in given else None,
    )


def pairs_of(selection: Selection) -> Pairs:
    """The fields of the selection, for links and forms."""
    pairs = [(name, value) for name in ("worker", "reason", "fingerprint") if (value := getattr(selection, name))]
    pairs += [(name, moment.isoformat()) for name in ("since", "until") if (moment := getattr(selection, name))]
    if selection.key is not None:
        pairs.append(("key", HEX + selection.key.hex()))
    pairs += [("status", status) for status in selection.status or ()]
    return [*pairs, *(("id", id) for id in selection.ids or ())]


def query_of(selection: Selection, **more: object) -> str:
    """The selection as the query of a link, with more fields."""
    return urlencode([*pairs_of(selection), *more.items()])


def narrowed(selection: Selection, status: Status | None) -> str:
    """The query of the same selection with this status, or with every status."""
    return query_of(replace(selection, status=None if status is None else (status,)))


def described(selection: Selection) -> str:
    """The selection in words."""
    words = []
    if selection.ids is not None:
        words.append("1 chosen letter" if len(selection.ids) == 1 else f"{len(selection.ids):,} chosen letters")
    words += [f"{name} {value}" for name in ("worker", "reason", "fingerprint") if (value := getattr(selection, name))]
    words += [f"failed {name} {_minute(at)}" for name in ("since", "until") if (at := getattr(selection, name))]
    if selection.key is not None:
        words.append(f"key {key_text(selection.key)}")
    if selection.status is not None:
        words.append(" or ".join(selection.status))
    return ", ".join(words) or "all dead letters"


def key_text(key: bytes) -> str:
    """A record's key as text, or in hexadecimal if it is not text."""
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return HEX + key.hex()
    return HEX + key.hex() if text.startswith(HEX) else text


def moment_of(name: str, text: str | None) -> datetime | None:
    """The time in a field. Raises WrongSelection."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise WrongSelection(f"“{name}” must be a time in UTC such as 2026-03-01T09:30") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _key(text: str | None) -> bytes | None:
    if text is None or not text.startswith(HEX):
        return text.encode(errors="surrogatepass") if text is not None else None
    try:
        return bytes.fromhex(text.removeprefix(HEX))
    except ValueError:
        raise WrongSelection("a key that begins with 0x must be hexadecimal") from None


def _status(text: str) -> Status:
    if text not in get_args(Status):
        raise WrongSelection(f"the status must be one of {', '.join(get_args(Status))}")
    return cast(Status, text)


def _ids(ids: list[str]) -> tuple[str, ...]:
    if len(ids) > MAX_IDS:
        raise WrongSelection(f"you can choose at most {MAX_IDS:,} single letters: use the filter instead")
    return tuple(dict.fromkeys(ids))


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
