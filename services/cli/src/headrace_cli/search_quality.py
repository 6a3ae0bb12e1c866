"""How good rankings are, measured on queries whose right answers are known."""

from collections.abc import Collection, Sequence
from math import log2

from pydantic import BaseModel, ConfigDict, Field


class LabelledQuery(BaseModel):
    """A line of a labelled file. `relevant`: the ids of the right answers. `language`: its results are shown apart."""

    model_config = ConfigDict(extra="forbid")

    query: str = Field(min_length=1)
    relevant: list[str] = Field(min_length=1)
    language: str = ""


def ndcg(ranking: Sequence[str], relevant: Collection[str], limit: int) -> float:
    """Normalised discounted cumulative gain of the first `limit` results, 0 to 1 (Järvelin and Kekäläinen 2002): each
    right answer counts 1, and less the later it comes; the best ranking there can be has 1.
    """
    gained = sum(1 / log2(place + 1) for place, id in enumerate(ranking[:limit], 1) if id in relevant)
    return gained / sum(1 / log2(place + 1) for place in range(1, min(limit, len(relevant)) + 1))


def recall(ranking: Sequence[str], relevant: Collection[str], limit: int) -> float:
    """The share of the right answers among the first `limit` results, of those that fit there; 0 to 1."""
    return len(set(ranking[:limit]) & set(relevant)) / min(limit, len(relevant))
