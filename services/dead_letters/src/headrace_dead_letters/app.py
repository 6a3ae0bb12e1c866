"""The dead_letters worker: dead letters and receipts in, an index of them out.

It takes records as they are and refuses none, so it has no dead-letter topic, writes no receipts and reads no replays.
"""

from datetime import timedelta

from faststream.asgi import AsgiFastStream

from headrace_dead_letters.indexing import build
from headrace_dead_letters.settings import DeadLettersSettings
from headrace_letters.index import LetterIndex
from headrace_worker.worker import DEAD_LETTERS, Worker


def application(settings: DeadLettersSettings) -> AsgiFastStream:
    return build(settings, letter_index(settings))


def letter_index(settings: DeadLettersSettings) -> LetterIndex:
    return LetterIndex(settings.postgres, replaying_for=timedelta(seconds=settings.dead.replaying_for))


worker = Worker(
    DEAD_LETTERS,
    settings=DeadLettersSettings,
    tables=letter_index,
    application=application,
)
