"""What /healthz and /readyz report of a worker.

Liveness is only a heartbeat of the poll loop and the retry loop, because a slow store must not restart workers.
Readiness is the assignment, the store and the breaker.
"""

import time
from collections.abc import Callable

FIRST_POLL = 50
"""Records of each poll until the first batch is settled: a bad deploy affects no more than these."""


class Health:
    """The state of a worker that its HTTP routes report.

    `alive_within`: seconds without a heartbeat after which the worker counts as dead. `clock`: seconds, monotonic.
    """

    def __init__(self, alive_within: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._alive_within = alive_within
        self._clock = clock
        self._last_beat = clock()
        self._held_partitions: dict[str, str] = {}
        self._settled_a_batch = False
        self.assigned = 0
        self.expired = 0
        self.unavailable: str | None = None
        self.held: str | None = None

    def beat(self) -> None:
        """The poll loop or the retry loop is running."""
        self._last_beat = self._clock()

    def settled(self) -> None:
        """A batch is settled: the store answers and the worker is not held."""
        self._settled_a_batch = True
        self.unavailable = None
        self.held = None

    def poll_size(self, most: int | None) -> int | None:
        """The number of records to poll: few until the first batch is settled."""
        return most if self._settled_a_batch else min(most or FIRST_POLL, FIRST_POLL)

    def hold_partition(self, name: str, error: str) -> None:
        """A partition is held because a record in it cannot be unpacked."""
        self._held_partitions[name] = error

    def release_partition(self, name: str) -> None:
        """The partition is tried again."""
        self._held_partitions.pop(name, None)

    def alive(self) -> bool:
        """Whether the last heartbeat is recent enough."""
        return self._clock() - self._last_beat <= self._alive_within

    def problems(self) -> list[str]:
        """Why the worker is not ready; empty when it is."""
        found = [] if self.assigned else ["no partition is assigned"]
        found += [f"unavailable: {self.unavailable}"] if self.unavailable else []
        found += [f"held: {self.held}"] if self.held else []
        return found + [f"cannot read {name}: {error}" for name, error in sorted(self._held_partitions.items())]

    def report(self) -> dict[str, object]:
        """The body of both routes."""
        return {
            "alive": self.alive(),
            "seconds_since_poll": round(self._clock() - self._last_beat, 3),
            "assigned_partitions": self.assigned,
            "expired_unread": self.expired,
            "problems": self.problems(),
        }
