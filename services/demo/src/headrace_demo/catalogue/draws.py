"""Random numbers that depend only on a seed and a name, not on the hash seed, the platform or earlier draws.

Only `Random.random()` is used, because it is the only method whose sequence Python keeps the same between versions.
"""

import math
from random import Random


class Draws:
    """A separate sequence of numbers for each path, for example `Draws(7, "product", 41)`."""

    def __init__(self, seed: int, *path: str | int) -> None:
        self._next = Random("/".join(map(str, (seed, *path)))).random  # noqa: S311

    def fraction(self) -> float:
        """A number in [0, 1)."""
        return self._next()

    def below(self, bound: int) -> int:
        """An integer from 0 to `bound` - 1."""
        return int(self._next() * bound)

    def between(self, low: float, high: float) -> float:
        """A number between two positive numbers, uniform on a logarithmic scale, as prices and popularities are."""
        return low * math.exp(self._next() * math.log(high / low))


class Shuffle:
    """A permutation of 0 … size - 1. Both directions are computed, so it needs no memory.

    It is an affine map modulo `size` (n -> a·n + b, with a and size coprime). The factor is near the golden ratio times
    `size`, so that neighbours are mapped far apart.
    """

    def __init__(self, size: int, draws: Draws) -> None:
        self._size = size
        factor = max(1, int(size * 0.618) + draws.below(max(1, size // 8)))
        while math.gcd(factor, size) != 1:
            factor += 1
        self._factor, self._inverse = factor, pow(factor, -1, size)
        self._offset = draws.below(size)

    def there(self, number: int) -> int:
        """The place of `number`."""
        return (self._factor * number + self._offset) % self._size

    def back(self, place: int) -> int:
        """The number at `place`."""
        return (place - self._offset) * self._inverse % self._size
