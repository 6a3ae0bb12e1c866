"""What a run of chaos did and found, as text and as JSON."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from harness.verdict import Verdict

from chaos.run import NOT_MADE, Done, Run

KINDS = ("missing", "stale", "resurrected", "extra", "wrong_content", "broken_links")


def as_text(run: Run, verdict: Verdict, seconds: float, seed: int) -> str:
    """The whole report."""
    lines = [f"chaos, seed {seed}: {seconds / 60:.1f} minutes, {len(run.done)} faults", ""]
    lines += _faults(run.done)
    lines += ["", "published: " + ", ".join(f"{count:,} {what}" for what, count in sorted(run.stream.counts.items()))]
    lines += [f"topics: {verdict.changes:,} changes of {verdict.entities:,} entities that can be applied", ""]
    lines += _workers(verdict)
    lines += ["", *_stores(verdict), ""]
    lines += [f"{done.kind}: {done.what}" for done in run.done if NOT_MADE in done.what]
    lines += run.cluster.without
    settled = "never" if run.settled is None else f"{run.settled:.1f} s after the end of the stream"
    lines += [f"everything was settled {settled}"]
    lines += verdict.said or ["every record is accounted for, and every store is right"]
    return "\n".join(lines) + "\n"


def as_json(run: Run, verdict: Verdict, seconds: float, seed: int) -> dict[str, Any]:
    """The same for programs, with every sample."""
    return {
        "seed": seed,
        "seconds": round(seconds, 1),
        "right": verdict.right,
        "faults": [asdict(done) for done in run.done],
        "recovery": {
            kind: {"count": len(of_kind), "median": _median(of_kind), "worst": _worst(of_kind)}
            for kind, of_kind in _by_kind(run.done).items()
        },
        "published": dict(run.stream.counts),
        "settled": run.settled,
        "verdict": asdict(verdict),
        "without": run.cluster.without,
        "samples": [asdict(sample) for sample in run.samples],
    }


def _faults(done: Sequence[Done]) -> list[str]:
    lines = [f"{'fault':<32} {'count':>5} {'median':>8} {'worst':>8}   seconds until everything is settled"]
    rows = [*sorted(_by_kind(done).items()), ("all", list(done))]
    for kind, of_kind in rows:
        lines.append(f"{kind:<32} {len(of_kind):>5} {_shown(_median(of_kind)):>8} {_shown(_worst(of_kind)):>8}")
    return lines


def _workers(verdict: Verdict) -> list[str]:
    outcomes = ("applied", "superseded", "conflict", "dead", "ignored", "unaccounted")
    lines = [f"{'worker':<16} {'records':>9}" + "".join(f"{outcome:>13}" for outcome in outcomes)]
    for name, counts in verdict.workers.items():
        row = "".join(f"{counts.get(outcome, 0):>13,}" for outcome in outcomes)
        lines.append(f"{name:<16} {sum(counts.values()):>9,}{row}")
    return lines


def _stores(verdict: Verdict) -> list[str]:
    others = sorted({kind for counts in verdict.stores.values() for kind in counts} - set(KINDS))
    shown = (*KINDS, *others)
    lines = [
        f"{'store':<16} {'entities':>9} {'deleted':>9} {'link sets':>9}" + "".join(f"{kind:>15}" for kind in shown)
    ]
    for name, held in verdict.stored.items():
        counts = verdict.stores[name]
        numbers = "".join(f"{held.get(what, 0):>10,}" for what in ("entities", "tombstones", "link sets"))
        lines.append(f"{name:<16}{numbers}" + "".join(f"{counts.get(kind, 0):>15,}" for kind in shown))
    return lines


def _by_kind(done: Sequence[Done]) -> dict[str, list[Done]]:
    found: dict[str, list[Done]] = defaultdict(list)
    for one in done:
        found[one.kind].append(one)
    return found


def _median(done: Sequence[Done]) -> float | None:
    times = [one.recovered for one in done if one.recovered is not None]
    return round(median(times), 2) if times else None


def _worst(done: Sequence[Done]) -> float | None:
    """None if one of them did not recover in time."""
    times = [one.recovered for one in done]
    return None if None in times or not times else max(time for time in times if time is not None)


def _shown(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f}"
