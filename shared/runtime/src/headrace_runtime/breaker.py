"""Finds the topics of which a worker rejects most changes for one cause, so that the topic is held instead of making
dead letters of the whole catalogue.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from headrace_runtime.answers import Result
from headrace_runtime.dead_letters import fingerprint
from headrace_runtime.decoder import Decoded, position
from headrace_runtime.holds import Cause
from headrace_schemas.fields import RecordKind
from headrace_worker.settings import BreakerSettings
from headrace_worker.stage import Rejected

_PLURALS: Mapping[RecordKind, str] = {
    "product": "products",
    "keyword": "keywords",
    "product_links": "link sets",
    "relink": "relink requests",
    "sweep": "sweeps",
    "receipts": "records of receipts",
}


class Opened(NamedTuple):
    """What opens a window: the fingerprint, and how many of its changes were rejected for it at most."""

    fingerprint: str
    rejected: int


class Breaker:
    """Opens for a topic when more than `share` of its last `window` live changes were rejected for one fingerprint.

    It is asked before anything of a batch is published. A batch in which nothing is rejected for that fingerprint never
    opens it, so that the topic continues when the cause is removed. Replays do not count, because an operator sends
    them knowingly; nor do rejections that may not hold a topic.
    """

    def __init__(self, worker: str, settings: BreakerSettings) -> None:
        self._worker = worker
        self._settings = settings
        self._windows: dict[str, Window] = {}

    def check(self, batch: Sequence[Result | Decoded]) -> dict[str, Cause]:
        """The topics for which this batch, in the order of its poll, opens the breaker. A record that is only decoded
        has no answer yet, and opens nothing.
        """
        causes = {}
        for topic, live in _by_topic(batch).items():
            rejections = self._rejections(live)
            if (opened := self._window(topic).opened_by(rejections)) is not None:
                causes[topic] = self._cause(opened, live[rejections.index(opened.fingerprint)])
        return causes

    def count(self, results: Sequence[Result]) -> None:
        """Counts the settled results of a batch, in any order."""
        for topic, live in _by_topic(results).items():
            if any(result.rejection for result in live):
                # The window is over neighbouring records: rejections that were read far apart must not meet in it.
                live.sort(key=lambda one: position(one.record))
                self._window(topic).count(self._rejections(live))
            else:
                self._window(topic).count([None] * len(live))

    def _window(self, topic: str) -> "Window":
        if topic not in self._windows:
            self._windows[topic] = Window(self._settings)
        return self._windows[topic]

    def _rejections(self, live: Sequence[Result | Decoded]) -> list[str | None]:
        return [fingerprint(self._worker, one.rejection) if one.rejection else None for one in live]

    def _cause(self, opened: "Opened", example: Result | Decoded) -> Cause:
        assert example.rejection is not None
        counts = f"{opened.rejected} of the last {self._settings.window} {_PLURALS[example.kind]}"
        return Cause(f"{counts}: {in_words(example.rejection)}", opened.fingerprint)


class Window:
    """The last `window` live changes of one topic, each with the fingerprint of its rejection, None if it has none."""

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._recent: deque[str | None] = deque(maxlen=settings.window)

    def opened_by(self, rejections: Sequence[str | None]) -> Opened | None:
        """What opens the window with this batch, or None.

        `rejections`: for each live change of the batch the fingerprint of its rejection, None if it is not rejected.
        """
        causes = {rejection for rejection in rejections if rejection is not None}
        if self._settings.allow_rejects or not causes:
            return None
        recent = self._recent.copy()
        opened, most = None, self._settings.share * self._settings.window
        for rejection in rejections:
            was_full = len(recent) == self._settings.window
            recent.append(rejection)
            # Only a rejection can raise a share, except where a success completes the first window.
            if len(recent) == self._settings.window and (rejection is not None or not was_full):
                worst = _most_common(recent, causes)
                if worst is not None and worst.rejected > most:
                    opened, most = worst, worst.rejected
        return opened

    def count(self, rejections: Iterable[str | None]) -> None:
        """Counts a batch that did not open the window. One that does is not counted, because it is read again."""
        self._recent.extend(rejections)


def in_words(rejection: Rejected) -> str:
    """The cause of a rejection in words, without a value of the record."""
    return rejection.words or ": ".join((rejection.reason.replace("_", " "), ", ".join(rejection.cause)))


def _most_common(recent: Iterable[str | None], causes: set[str]) -> Opened | None:
    counts = Counter(fingerprint for fingerprint in recent if fingerprint in causes)
    return Opened(*counts.most_common(1)[0]) if counts else None


AnyResult = TypeVar("AnyResult", bound=Result | Decoded)


def _by_topic(batch: Sequence[AnyResult]) -> dict[str, list[AnyResult]]:
    """The live records of each topic, without the rejections that may not hold it."""
    live: dict[str, list[AnyResult]] = {}
    for one in batch:
        if not one.replayed and (one.rejection is None or one.rejection.may_hold):
            live.setdefault(one.record.topic, []).append(one)
    return live
