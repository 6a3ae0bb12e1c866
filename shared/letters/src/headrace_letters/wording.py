"""The words for statuses, predictions, actions and the progress of a replay. The command and the console show them."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from headrace_letters.actions import ActionName
from headrace_letters.prediction import Outcome
from headrace_letters.selection import Status

ProgressPart = Literal["resolved", "superseded", "failed", "unanswered", "refused", "unsent"]


class Wording(NamedTuple):
    """`title`: a few words in lower case. `meaning`: one sentence that explains them."""

    title: str
    meaning: str

    @property
    def heading(self) -> str:
        """The title with a capital letter."""
        return self.title[0].upper() + self.title[1:]


STATUSES: Mapping[Status, Wording] = {
    "waiting": Wording("waiting", "It needs a decision. A replay without an answer counts as waiting again."),
    "replaying": Wording("replaying", "It was sent to its worker again. The answer has not arrived yet."),
    "parked": Wording("parked", "An operator put it aside, or it failed five times."),
    "resolved": Wording("resolved", "A replay was applied."),
    "superseded": Wording("superseded", "A newer version, or an edit, replaces it."),
    "discarded": Wording("discarded", "An operator gave it up. The audit log has the reason."),
}
"""In the order in which an operator looks at them."""

OUTCOMES: Mapping[Outcome, Wording] = {
    "apply": Wording("would be applied", "It is newer than what is stored."),
    "applied_already": Wording("already applied", "This version is stored."),
    "superseded": Wording(
        "superseded by a newer version", "The newer version, or other content of this version, stays."
    ),
    "deleted": Wording("deleted by a newer version", "The newer delete stays."),
    "recompute": Wording("links would be computed again", "They are computed from current data."),
    "undecodable": Wording("would fail again", "The worker still cannot decode it."),
    "ignored": Wording("would be ignored", "The worker's settings say so."),
    "expired": Wording("expired", "It first failed more than 14 days ago, or its topic no longer has it."),
    "omitted": Wording("its value is not here", "It was too large for the dead-letter topic."),
    "foreign": Wording("not from a worker here", "The system that wrote it must send it again."),
}

ACTIONS: Mapping[ActionName, Wording] = {
    "replay": Wording("replayed", "Letters were sent to their workers again."),
    "park": Wording("parked", "Letters were put aside."),
    "discard": Wording("discarded", "Letters were given up."),
    "export": Wording("exported", "Letters were written to a file."),
    "import": Wording("imported", "Edited letters were published as new changes."),
    "forget": Wording("forgotten", "A version that was published by mistake was taken back."),
}

PROGRESS: Mapping[ProgressPart, Wording] = {
    "resolved": Wording("resolved", "The replay was applied."),
    "superseded": Wording("superseded", "A newer version, or other content of this version, is stored."),
    "failed": Wording("failed again", "The letter is waiting again, with one more attempt."),
    "unanswered": Wording("not answered", "The letter was sent. The worker has not answered yet."),
    "refused": Wording("refused", "The letter was not sent: it expired, lacks its value, or no worker here wrote it."),
    "unsent": Wording("not sent", "The letter is still waiting."),
}
