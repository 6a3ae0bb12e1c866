"""A batch that is written in parts: one rule for what a stage returns when some of the parts fail."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from headrace_worker.stage import BatchRejected, Outcome, Unavailable

SEARCH_SECONDS = 20.0
"""After this time no part is halved any more: a stage must answer within the time limit of the runtime, which is 60 s
by default, and one request may take 30 s.
"""

T = TypeVar("T")
WritePart = Callable[[Sequence[T]], Awaitable[Sequence[Outcome]]]


async def write_parts(
    parts: Sequence[Sequence[T]],
    write: WritePart[T],
    slots: asyncio.Semaphore,
    *,
    search_seconds: float = SEARCH_SECONDS,
) -> list[Outcome]:
    """Writes the parts of a batch at once and returns an outcome for each change, in the order of the parts.

    `write` sends one part and returns the outcomes of its changes, in order. `slots` limits the number of parts in
    flight; a stage gives the same semaphore to all its calls. A failure of one part does not touch the others:

    - `write` raises Unavailable: that is the outcome of each change of the part. If every change of every part is
      unavailable, the first failure is raised.
    - `write` raises BatchRejected: the part is halved until the refused change is found, whose outcome is the
      rejection. One refused change among n costs about 2 log2(n) more requests, with fewer than 2n changes in all.
      When `search_seconds` have passed, changes not yet written are unavailable, and suspect: the runtime then
      continues with smaller batches.
    - `write` raises anything else: it is raised when all parts have ended.
    """
    until = time.monotonic() + search_seconds
    answers = await asyncio.gather(*(_write_part(part, write, slots, until) for part in parts), return_exceptions=True)
    outcomes: list[Outcome] = []
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
        outcomes += answer
    failures = [outcome for outcome in outcomes if isinstance(outcome, Unavailable)]
    if failures and len(failures) == len(outcomes):
        raise failures[0]
    return outcomes


async def _write_part(
    part: Sequence[T], write: WritePart[T], slots: asyncio.Semaphore, until: float
) -> Sequence[Outcome]:
    try:
        async with slots:
            return await write(part)
    except Unavailable as error:
        return [error] * len(part)
    except BatchRejected as error:
        if len(part) == 1:
            return [error.rejection]
        if time.monotonic() > until:
            late = Unavailable("stage", "out of time in the search for the refused change", suspect=True)
            return [late] * len(part)
    return [outcome for half in halves(part) for outcome in await _write_part(half, write, slots, until)]


def halves(things: Sequence[T]) -> list[Sequence[T]]:
    """The two halves of a sequence, or the one that is not empty."""
    middle = len(things) // 2
    return [half for half in (things[:middle], things[middle:]) if half]
