"""The journey of an entity as lines and tables for a terminal."""

from collections.abc import Iterator
from datetime import UTC, datetime

from rich.table import Table

from headrace_cli.output import inert, screen, table
from headrace_letters.journey import InStore, Journey, Passage
from headrace_letters.store_answers import LinkedProducts

BEST = 5


def print_journey(found: Journey) -> None:
    """Everything that is known, and at the end what is missing."""
    shown = screen()
    for line in heading(found):
        shown.print(inert(line), soft_wrap=True)
    if found.passages:
        shown.print(_workers(found))
        shown.print(_stores(found))
    for line in _links(found):
        shown.print(inert(line), soft_wrap=True)
    for letter in found.sources.letters:
        of = letter.letter
        line = f"dead letter {of.id}: {of.worker}, version {of.version}, {letter.status}: {of.reason}: {of.error}"
        shown.print(inert(line), soft_wrap=True)
    if not found.missing:
        what = "no search finds it" if found.deleted else "a search in every store finds it"
        shown.print(f"nothing is missing: every worker has settled it, and {what}", style="green")
        return
    shown.print("missing:", style="bold red")
    for line in found.missing:
        shown.print(inert(f"  {line}"), soft_wrap=True)


def heading(found: Journey) -> Iterator[str]:
    """The newest version and its times."""
    read = found.sources.published
    if found.version is None:
        yield f"{found.kind} {found.id}: no version known"
    else:
        yield f"{found.kind} {found.id}, version {found.version}{', deleted' if found.deleted else ''}"
    if found.occurred_at is not None:
        yield f"  occurred   {_time(found.occurred_at)}"
    if found.published_at is not None:
        record = read.newest if read.version == found.version else None
        where = f"  {read.topic} {record.partition}:{record.offset}" if record else ""
        yield f"  published  {_time(found.published_at)}{where}"
    if found.trace_id is not None:
        yield f"  trace      {found.trace_id}"
    if found.published_at is None:
        part = "all" if read.whole else "the last"
        since = f", since {_time(read.since)}" if read.since else ""
        yield f"  not among {part} {read.records:,} records of {read.topic}{since}"


def _workers(found: Journey) -> Table:
    shown = table("worker", "outcome", "settled", "ms", "missing", right=("ms",))
    for one in found.passages:
        milliseconds = "" if one.milliseconds is None else f"{one.milliseconds:,}"
        at = _time(one.settled_at) if one.settled_at else ""
        shown.add_row(one.worker, _outcome(one), at, milliseconds, inert(one.missing))
    return shown


def _outcome(one: Passage) -> str:
    if one.outcome is None:
        return "not known" if one.missing.startswith("not known") else "not settled"
    if one.outcome == "stored":
        return "stored" if one.missing else "settled"
    return one.outcome


def _stores(found: Journey) -> Table:
    shown = table("store", "version", "state", "search", "missing", right=("version",))
    for one in found.stores:
        answer = one.answer
        version = "–" if answer.version is None else str(answer.version)
        shown.add_row(answer.store, version, _state(one, found.version), _search(one), inert(one.missing))
    return shown


def _state(one: InStore, newest: int | None) -> str:
    answer = one.answer
    if answer.problem:
        return "not known"
    if answer.version is None:
        return "not stored"
    older = newest is not None and answer.version < newest
    return ("older, " if older else "newest, ") + ("deleted" if answer.deleted else "stored")


def _search(one: InStore) -> str:
    if one.answer.searchable is None:
        return "not known"
    return f"finds version {one.answer.searchable}" if one.answer.searchable else "does not find it"


def _links(found: Journey) -> Iterator[str]:
    for one in found.links:
        answer = one.answer
        if one.missing:
            yield f"links in {answer.store}: {one.missing}"
        elif answer.version is None or answer.deleted:
            yield f"links in {answer.store}: none"
        else:
            best = ", ".join(link.keyword_id for link in answer.links[:BEST])
            more = f", and {len(answer.links) - BEST} more" if len(answer.links) > BEST else ""
            yield f"links in {answer.store}: {len(answer.links)}{f': {best}{more}' if best else ''}"
    for products in found.sources.products:
        yield f"links in {products.store}: {_count(products)}"


def _count(one: LinkedProducts) -> str:
    if one.problem:
        return one.problem
    number = len(one.products) if one.count is None else one.count
    return f"{number:,} {'product is' if number == 1 else 'products are'} linked to it"


def _time(moment: datetime) -> str:
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d} UTC"
