"""Stops a worker whose rejects are systemic, instead of dead-lettering the catalogue."""

from collections import Counter, deque
from collections.abc import Iterable

from headrace_worker.settings import BreakerSettings


class Breaker:
    """Opens when more than `share` of the last `window` live changes were rejected for one and the same fingerprint.

    It looks at a batch before its dead letters are published. Replays do not count: an operator tries those knowingly.
    """

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._recent: deque[str | None] = deque(maxlen=settings.window)

    def opened_by(self, rejections: Iterable[str | None]) -> str | None:
        """The fingerprint that opens the breaker with this batch, if one does.

        `rejections`: for each live change of the batch its rejection's fingerprint, None where it was not rejected.
        An opening batch leaves no trace, because it goes back to Kafka and comes again.
        """
        if self._settings.allow_rejects:
            return None
        recent = self._recent.copy()
        for rejection in rejections:
            was_full = len(recent) == self._settings.window
            recent.append(rejection)
            # Only a rejection can raise a share, except where a success completes the first window.
            if len(recent) == self._settings.window and (rejection is not None or not was_full):
                worst = _most_common(recent)
                if worst is not None and worst[1] > self._settings.share * len(recent):
                    return worst[0]
        self._recent = recent
        return None


def _most_common(recent: Iterable[str | None]) -> tuple[str, int] | None:
    counts = Counter(fingerprint for fingerprint in recent if fingerprint is not None)
    return counts.most_common(1)[0] if counts else None
