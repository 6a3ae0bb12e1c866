"""When a batch went through its steps. The traces and the metric of the steps are made from it, once it has ended.

It has no methods that run while a batch is handled: the steps write their times into its fields.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from headrace_runtime.decoder import Decoded
from headrace_worker.stage import Output, Unavailable
from headrace_worker.worker import Step

BatchStep = Literal["queued", "decode", "publish"] | Step
"""A step of a batch: what each worker does, or what its stage does."""


class Attempt(NamedTuple):
    """One attempt of the stage, nanoseconds since 1970. `records`: those in it.

    `failure`: why some of them, or all, have no answer. An attempt that raised has it, too.
    """

    started: int
    ended: int
    records: Sequence[Decoded]
    failure: Unavailable | None


class Publication(NamedTuple):
    """One publication of outputs, nanoseconds since 1970. `outputs`: each with the record that it is made from."""

    started: int
    ended: int
    outputs: Sequence[tuple[Decoded, Output]]


@dataclass(slots=True)
class Timeline:
    """The times of one batch, nanoseconds since 1970; 0: the batch has not come as far.

    `polled`: its first step begins. `decoded`: all records are decoded. `answered`: each record has its answer, and the
    publication of dead letters and receipts begins. `settled`: that publication is acknowledged.

    A batch that leaves out the records of a held topic starts its steps again: the last start counts for `decoded`, and
    `attempts` and `publications` have those of every start.
    """

    polled: int
    decoded: int = 0
    answered: int = 0
    settled: int = 0
    attempts: list[Attempt] = field(default_factory=list)
    publications: list[Publication] = field(default_factory=list)

    def seconds(self, step: Step) -> dict[BatchStep, float]:
        """How long each step of a settled batch took, seconds, without `queued`. `step`: of the worker's stage."""
        attempts = sum(attempt.ended - attempt.started for attempt in self.attempts)
        publications = sum(one.ended - one.started for one in self.publications)
        return {
            "decode": (self.decoded - self.polled) / 1e9,
            step: attempts / 1e9,
            "publish": (publications + self.settled - self.answered) / 1e9,
        }
