"""The dead_letters worker: it reads dead letters and receipts, and keeps an index of the letters."""

import re

from headrace_dead_letters import metrics
from headrace_dead_letters.settings import DeadLettersSettings
from headrace_worker.deferred import Deferred
from headrace_worker.worker import DEAD_LETTERS, RawInput, Worker


def topic_pattern(settings: DeadLettersSettings) -> str:
    """Matches the dead-letter topics of every worker, installed or not, the receipts, and the further topics that the
    settings name.
    """
    further = [re.escape(topic) for topic in (settings.topics.receipts, *settings.dead.further_topics)]
    return f"^(?:{re.escape(settings.topics.dead(''))}.+|{'|'.join(further)})$"


worker = Worker(
    DEAD_LETTERS,
    settings=DeadLettersSettings,
    tables=Deferred("headrace_dead_letters.stage:letter_index"),
    raw=RawInput(topic_pattern, Deferred("headrace_dead_letters.stage:open_stage")),
    metrics=metrics.ALL,
)
