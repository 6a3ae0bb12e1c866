"""Finds out whether Kafka and the store of a consumer group answer, also while there is nothing to read."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from aiokafka.errors import KafkaError

from headrace_runtime.health import Health, ProblemKind
from headrace_worker.stage import Unavailable

log = structlog.get_logger(__name__)

CHECK_EVERY = 8.0
"""Seconds from the end of one check to the next one."""
ANSWER_WITHIN = 5.0
"""Seconds after which a server that has not answered counts as unavailable."""

Check = Callable[[], Awaitable[object]]
"""One small request. Raises Unavailable, or what aiokafka raises, unless the server answers."""


class Readiness:
    """Checks Kafka and the store of one consumer group, in parallel, never twice at once, and reports to its health."""

    def __init__(self, health: Health, kafka: Check, store: Check) -> None:
        self._health = health
        self._checks: dict[ProblemKind, Check] = {"kafka": kafka, "store": store}
        self._found: dict[ProblemKind, tuple[ProblemKind, str]] = {}

    async def run(self) -> None:
        """Checks until it is cancelled."""
        while True:
            await asyncio.sleep(CHECK_EVERY)
            await asyncio.gather(*[self._check(kind, check) for kind, check in self._checks.items()])

    async def _check(self, kind: ProblemKind, check: Check) -> None:
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                await check()
        except Unavailable as error:
            self._report(kind, "kafka" if error.store == "kafka" else "store", error.store, error.detail)
        except TimeoutError:
            self._report(kind, kind, kind, f"no answer within {ANSWER_WITHIN:g} s")
        except (KafkaError, OSError) as error:
            self._report(kind, "kafka", "kafka", type(error).__name__)
        except Exception as error:
            log.exception("check_failed", check=kind)
            self._report(kind, kind, kind, f"its check failed with {type(error).__name__}")
        else:
            self._end(kind)

    def _report(self, check: ProblemKind, kind: ProblemKind, subject: str, reason: str) -> None:
        """`check`: the check that found it; it may be about Kafka although it is the store's."""
        if self._found.get(check) != (kind, subject):
            self._end(check)
            log.warning("not_answering", subject=subject, reason=reason)
        self._found[check] = kind, subject
        self._health.problem(kind, subject, reason, by="check")

    def _end(self, check: ProblemKind) -> None:
        if (found := self._found.pop(check, None)) is not None and found not in self._found.values():
            self._health.solved(*found, by="check")
