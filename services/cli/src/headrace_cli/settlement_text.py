"""What `headrace wait` prints about a settlement: a table and sentences for people, an object for programs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from rich.table import Table

from headrace_cli.output import table
from headrace_cli.record_outcomes import Cause, Counts
from headrace_cli.settlement import Settlement
from headrace_cli.waiting_letters import WaitingLetters
from headrace_cli.worker_states import WorkerState
from headrace_clients.consumer_groups import OpenTransaction
from headrace_letters.visible_text import visible

MAX_ERROR = 200
"""Characters of an example."""
NUMBERS = ("records", "applied", "superseded", "conflict", "dead", "ignored", "no answer")


@dataclass(frozen=True, slots=True)
class WaitReport:
    """Everything that `headrace wait` has found. `letters`: None if Kafka does not answer. `stores`: why the store of a
    worker does not answer.
    """

    settlement: Settlement
    states: Sequence[WorkerState]
    transactions: Sequence[OpenTransaction]
    letters: WaitingLetters | None
    stores: Mapping[str, str] = field(default_factory=dict)

    def succeeded(self, allow_dead: bool) -> bool:
        """Whether every record is settled, none is a dead letter unless that is allowed, and every store answers."""
        found = self.settlement
        settled = found.in_time and found.complete and not found.unanswered and not self.stores
        return settled and (allow_dead or not found.dead)


def outcome_table(found: Settlement) -> Table:
    """A row for each worker and topic."""
    shown = table("worker", "topic", *NUMBERS, right=NUMBERS)
    for one in found.counts:
        numbers = (
            one.records,
            one.applied,
            one.superseded,
            one.conflict,
            one.dead_letters,
            one.ignored,
            one.unanswered,
        )
        shown.add_row(one.worker, one.topic, *(f"{number:,}" for number in numbers))
    return shown


def conclusion(report: WaitReport) -> Iterator[str]:
    """What was checked and found, one sentence a line, for standard output."""
    found = report.settlement
    if not found.in_time:
        return
    if not (found.records or found.derived or found.replays):
        yield f"No record was open when this was called{_from(found.since)} ({found.seconds:.1f} s)."
    else:
        known = found.complete and not found.unanswered
        dead = f"{_count(found.dead, 'dead letter')} {'was' if found.dead == 1 else 'were'} written for them"
        none = "none is a dead letter" if known else "no dead letter of them is known"
        yield (
            f"{_open_records(found)}: every worker has {'settled' if known else 'committed'} its records "
            f"({found.seconds:.1f} s); {dead if found.dead else none}."
        )
        if by_replay := sum(counts.by_replay for counts in found.counts):
            yield f"{_count(by_replay, 'record')} had become dead letters and were replayed in time."
    if report.letters is not None:
        yield report.letters.line


def complaints(report: WaitReport, timeout: float) -> Iterator[str]:
    """What is missing or wrong, one line each, for standard error."""
    found = report.settlement
    if found.silent_since is not None:
        yield f"Kafka has not answered since {_time(found.silent_since)}; what follows was known before"
    for missing in found.missing:
        yield f"{missing.worker} has {missing.records:,} records of {missing.topic} to go"
    late = {missing.worker for missing in found.missing}
    of_states = (one.line for one in report.states if one.worker in late or one.problems or not one.copies)
    yield from dict.fromkeys(of_states)
    if found.unfollowed and not found.in_time:
        yield f"not followed, because the workers that write there are not finished: {', '.join(found.unfollowed)}"
    for one in report.transactions:
        later = "; they were published after this command was called, and are not counted here" if found.in_time else ""
        yield transaction_line(one) + later
    yield from _outcome_complaints(found)
    if not found.complete:
        yield "the receipts could not be read to their end: Kafka does not answer"
    for worker, problem in report.stores.items():
        yield f"the store of {worker} does not answer, so what a search in it finds is not known: {problem}"
    if not found.in_time:
        yield f"after {timeout:g} s: check that these workers run, with `headrace work`, and remove what holds them"


def transaction_line(one: OpenTransaction) -> str:
    """What an open transaction keeps from being read."""
    return (
        f"{one.topic}-{one.partition}: {_count(one.records, 'record')} cannot be read until a producer ends its "
        "transaction"
    )


def as_object(report: WaitReport) -> dict[str, Any]:
    """The report for programs."""
    found, letters = report.settlement, report.letters
    return {
        "done": found.in_time,
        "called_at": found.called_at.isoformat(),
        "since": found.since.isoformat() if found.since else None,
        "seconds": round(found.seconds, 3),
        "records": found.records,
        "derived_records": found.derived,
        "replays": found.replays,
        "workers": [_counts_object(counts) for counts in found.counts],
        "causes": [
            {"worker": counts.worker, "topic": counts.topic, **asdict(cause), "records": number}
            for counts in found.counts
            for cause, number in _largest_first(counts)
        ],
        "missing": [asdict(part) for part in found.missing],
        "not_followed": list(found.unfollowed),
        "kafka_silent_since": found.silent_since.isoformat() if found.silent_since else None,
        "receipts_complete": found.complete,
        "states": [_state_object(state) for state in report.states],
        "open_transactions": [asdict(one) for one in report.transactions],
        "dead_letters": None if letters is None else asdict(letters),
        "stores": dict(report.stores),
        "unrefreshed": "; ".join(report.stores.values()) or None,
    }


def _outcome_complaints(found: Settlement) -> Iterator[str]:
    for counts in found.counts:
        for cause, number in _largest_first(counts):
            example = f": {visible(cause.example[:MAX_ERROR])}" if cause.example else ""
            letters = _count(number, "dead letter")
            yield f"{counts.worker}: {letters} of {counts.topic}, {visible(cause.reason)}{example}"
    for counts in found.counts:
        if counts.conflict:
            yield (
                f"{counts.worker}: {_count(counts.conflict, 'conflict')} of {counts.topic}: other content is stored "
                "under the same version and stays; publish the right content with a higher version"
            )
    if found.unanswered:
        yield (
            f"{_count(found.unanswered, 'record')} passed without a receipt, so their outcome is not known: a "
            "group's offset was moved, or they or their receipts have expired"
        )
    if found.dead:
        yield "`headrace dead groups` shows the causes"


def _open_records(found: Settlement) -> str:
    kinds = {"source record": found.records, "derived record": found.derived, "replay": found.replays}
    parts = [_count(number, noun) for noun, number in kinds.items() if number]
    verb = "was" if sum(kinds.values()) == 1 else "were"
    return f"{' and '.join(parts)} {verb} open{_from(found.since)}"


def _from(since: datetime | None) -> str:
    return f", or published since {_time(since)}" if since else ""


def _state_object(state: WorkerState) -> dict[str, Any]:
    """Without the metrics, which are for tables and are no JSON."""
    return {name: value for name, value in asdict(state).items() if name != "metrics"}


def _counts_object(counts: Counts) -> dict[str, Any]:
    return {
        "worker": counts.worker,
        "topic": counts.topic,
        "records": counts.records,
        "applied": counts.applied,
        "superseded": counts.superseded,
        "conflict": counts.conflict,
        "dead": counts.dead_letters,
        "ignored": counts.ignored,
        "unanswered": counts.unanswered,
        "by_replay": counts.by_replay,
    }


def _largest_first(counts: Counts) -> list[tuple[Cause, int]]:
    return sorted(counts.dead.items(), key=lambda item: (-item[1], item[0].reason, item[0].fingerprint))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _time(moment: datetime) -> str:
    return moment.astimezone().isoformat(sep=" ", timespec="seconds")
