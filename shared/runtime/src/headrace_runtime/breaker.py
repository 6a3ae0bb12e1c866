"""Holds a worker that rejects most changes for one cause, instead of making dead letters of the whole catalogue."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence

from headrace_runtime.attempts import Result
from headrace_runtime.dead_letters import fingerprint
from headrace_runtime.decoder import position
from headrace_worker.settings import BreakerSettings


class BreakerOpen(Exception):
    """Most of the last changes were rejected for one cause, which `fingerprint` names."""

    def __init__(self, fingerprint: str) -> None:
        super().__init__(f"most changes are rejected for {fingerprint}")
        self.fingerprint = fingerprint


class Breaker:
    """Opens when more than `share` of the last `window` live changes were rejected for one fingerprint.

    It checks a batch before the batch's dead letters are published. A batch in which nothing is rejected for that
    fingerprint never opens it, so that a worker continues when the cause is removed. Replays do not count, because an
    operator sends them knowingly; nor do rejections that may not hold the worker.
    """

    def __init__(self, worker: str, settings: BreakerSettings) -> None:
        self._worker = worker
        self._settings = settings
        self._recent: deque[str | None] = deque(maxlen=settings.window)

    def check(self, results: Sequence[Result]) -> None:
        """Raises BreakerOpen if this batch opens the breaker."""
        live = [
            result
            for result in results
            if not result.replayed and (result.rejection is None or result.rejection.may_hold)
        ]
        rejections: list[str | None] = [None] * len(live)
        if any(result.rejection for result in live):
            # The window is over neighbouring records: rejections that were read far apart must not meet in it.
            live.sort(key=lambda result: position(result.record))
            rejections = [fingerprint(self._worker, one.rejection) if one.rejection else None for one in live]
        opened_by = self.opened_by(rejections)
        if opened_by is not None:
            raise BreakerOpen(opened_by)

    def opened_by(self, rejections: Iterable[str | None]) -> str | None:
        """The fingerprint that opens the breaker with this batch, or None.

        `rejections`: for each live change of the batch the fingerprint of its rejection, None if it is not rejected.
        A batch that opens the breaker is not counted; it is read again.
        """
        if self._settings.allow_rejects:
            return None
        batch = list(rejections)
        causes = {rejection for rejection in batch if rejection is not None}
        recent = self._recent.copy()
        for rejection in batch:
            was_full = len(recent) == self._settings.window
            recent.append(rejection)
            # Only a rejection can raise a share, except where a success completes the first window.
            if len(recent) == self._settings.window and (rejection is not None or not was_full):
                worst = _most_common(recent, causes)
                if worst is not None and worst[1] > self._settings.share * len(recent):
                    return worst[0]
        self._recent = recent
        return None


def _most_common(recent: Iterable[str | None], causes: set[str]) -> tuple[str, int] | None:
    counts = Counter(fingerprint for fingerprint in recent if fingerprint in causes)
    return counts.most_common(1)[0] if counts else None
