"""Percentiles by nearest rank."""

import math

from headrace_cli.percentiles import percentiles


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert percentiles(values, (0.5, 0.95, 0.99, 1.0)) == [50.0, 95.0, 99.0, 100.0]
    assert percentiles([7.0], (0.5, 0.99)) == [7.0, 7.0]
    assert all(math.isnan(value) for value in percentiles([], (0.5, 0.99)))
