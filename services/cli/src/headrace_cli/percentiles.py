"""Percentiles of measured values."""

import math
from collections.abc import Iterable, Sequence


def percentiles(values: Iterable[float], shares: Sequence[float]) -> list[float]:
    """For each share (0 to 1) the smallest value that at least that share of the values does not exceed; nearest rank.

    NaN where there are no values.
    """
    ordered = sorted(values)
    if not ordered:
        return [math.nan] * len(shares)
    return [ordered[max(math.ceil(share * len(ordered)), 1) - 1] for share in shares]
