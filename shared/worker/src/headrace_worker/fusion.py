"""One ranking from those of several stores.

Scores of different stores do not compare: a cosine, and a sum of weights of words. `weighted` brings those of each
ranking to the range from 0 to 1 before it adds them; `reciprocal` uses the places only (Cormack, Clarke and Büttcher
2009).
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from headrace_worker.store import Hit

Fusion = Literal["weighted", "reciprocal"]
PLACES = 60
"""The constant of reciprocal rank fusion, as its authors chose it: the larger, the less the first places count."""
CANDIDATES = 100
"""The results of each store that are fused. An entity beyond them counts as not found there."""


def fused(rankings: Mapping[str, Sequence[Hit]], fusion: Fusion, weights: Mapping[str, float]) -> list[Hit]:
    """The hits of all rankings, best first; of equal scores in the order of their ids. An entity has the fields of the
    first ranking that has it, and the weighted sum of what the rankings give it. `weights`: by the rankings' names.
    """
    hits: dict[str, Hit] = {}
    scores: dict[str, float] = {}
    for name, ranking in rankings.items():
        shares = _by_score(ranking) if fusion == "weighted" else _by_place(ranking)
        for hit, share in zip(ranking, shares, strict=True):
            hits.setdefault(hit.id, hit)
            scores[hit.id] = scores.get(hit.id, 0.0) + weights[name] * share
    best = sorted(hits, key=lambda id: (-scores[id], id))
    return [Hit(id, scores[id], hits[id].fields) for id in best]


def _by_score(ranking: Sequence[Hit]) -> list[float]:
    """1 for the best of the ranking, 0 for the worst; all 1 if they are equal."""
    if not ranking:
        return []
    scores = [hit.score for hit in ranking]
    lowest, width = min(scores), max(scores) - min(scores)
    return [(score - lowest) / width if width else 1.0 for score in scores]


def _by_place(ranking: Sequence[Hit]) -> list[float]:
    return [1 / (PLACES + place) for place in range(1, len(ranking) + 1)]
