"""What a replay of a selection would do: the predictions for its letters, counted."""

from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from headrace_letters.index import LetterIndex
from headrace_letters.installed_stores import InstalledStores
from headrace_letters.letter_reader import LetterReader
from headrace_letters.prediction import Outcome, Prediction, Written, predict
from headrace_letters.replay_order import ReplayOrder
from headrace_letters.selection import Selection

SAMPLES = 5


@dataclass(slots=True)
class Preview:
    """The predictions so far, for `total` letters. `superseded_by`: how often each version is the newer one.

    `causes`: how often each cause makes a letter undecodable. `samples`: the first few predictions of each outcome.
    """

    total: int
    counts: Counter[Outcome] = field(default_factory=Counter)
    superseded_by: Counter[int] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    samples: dict[Outcome, list[Prediction]] = field(default_factory=dict)

    @property
    def predicted(self) -> int:
        return self.counts.total()

    def add(self, prediction: Prediction) -> None:
        """Counts one prediction."""
        self.counts[prediction.outcome] += 1
        if prediction.outcome in ("superseded", "deleted") and prediction.by is not None:
            self.superseded_by[prediction.by] += 1
        if prediction.outcome == "undecodable":
            self.causes[prediction.detail] += 1
        samples = self.samples.setdefault(prediction.outcome, [])
        if len(samples) < SAMPLES:
            samples.append(prediction)


async def preview(
    index: LetterIndex, reader: LetterReader, stores: InstalledStores, selection: Selection, *, limit: int | None = None
) -> AsyncGenerator[Preview, None]:
    """Yields the same Preview object again after each part; the last one is complete.

    It predicts the letters that a replay of the selection takes. Raises Unavailable if a store that decides does not
    answer.
    """
    order = ReplayOrder(index, selection, limit)
    await order.scan()
    found = Preview(order.total)
    written: Written = {}
    yield found
    async for chunk in order.chunks():
        letters = [one.letter for one in chunk]
        records = await reader.records_of(letters)
        predictions = await predict(list(zip(letters, records, strict=True)), stores, written, order.repeated)
        for prediction in predictions:
            found.add(prediction)
        yield found
