"""Numbers that depend on a seed and a name alone: not on the hash seed, the platform or what was drawn before.

Only `Random.random()` is used, because it is the one method whose sequence Python promises to keep between versions.
"""

import math
from random import Random


class Draws:
    """A stream of numbers of its own for each path, for example `Draws(7, "product", 41)`."""

    def __init__(self, seed: int, *path: str | int) -> None:
        self._next = Random("/".join(map(str, (seed, *path)))).random  # noqa: S311

    def fraction(self) -> float:
        """From 0 up to, but without, 1."""
        return self._next()

    def below(self, bound: int) -> int:
        """From 0 to `bound` - 1."""
        return int(self._next() * bound)

    def between(self, low: float, high: float) -> float:
        """Between two positive numbers, evenly on a logarithmic scale, as prices and popularities are."""
        return low * math.exp(self._next() * math.log(high / low))


class Shuffle:
    """A one-to-one mapping of 0 … size - 1 onto itself, both ways by arithmetic, so that nothing is kept in memory.

    An affine map modulo `size` (n -> a·n + b, with a and size coprime) whose factor lies near the golden section, which
    spreads neighbours far apart.
    """

    def __init__(self, size: int, draws: Draws) -> None:
        self._size = size
        factor = max(1, int(size * 0.618) + draws.below(max(1, size // 8)))
        while math.gcd(factor, size) != 1:
            factor += 1
        self._factor, self._inverse = factor, pow(factor, -1, size)
        self._offset = draws.below(size)

    def there(self, number: int) -> int:
        """Where `number` is put."""
        return (self._factor * number + self._offset) % self._size

    def back(self, place: int) -> int:
        """Which number was put at `place`."""
        return (place - self._offset) * self._inverse % self._size
