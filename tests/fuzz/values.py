"""Values that decoders are seldom prepared for."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

WORDS = (
    "", "0", "-1", "1e400", "NaN", "null", "\x00", "\ud800", "\ufeff", "2026-01-01T00:00:00Z",
    "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "10000-01-01", "9" * 5000, "0x", "%00", "../..",
    "'\"<>&;--",
)  # fmt: skip
NUMBERS = (0, -1, 1, 2**53, 2**63 - 1, 2**63, -(2**63), 10**400, 0.1, -0.0, 1e308)


class Target(NamedTuple):
    """A check of one kind of input; it raises for a fault. `inputs`: the strategies of its arguments."""

    check: Callable[..., None]
    inputs: dict[str, st.SearchStrategy[Any]]

    def test(self) -> Callable[[], None]:
        """A new test of Hypothesis, which can get settings of its own."""
        test: Callable[[], None] = given(**self.inputs)(self.check)
        return test


texts = st.sampled_from(WORDS) | st.text(st.characters(codec=None), max_size=30)
storable = texts.map(lambda text: text.encode(errors="replace").decode())
scalars = st.none() | st.booleans() | st.sampled_from(NUMBERS) | st.integers() | st.floats() | texts
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def objects(names: tuple[str, ...], valid: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A valid object in which some fields are replaced, dropped or added."""
    odd = st.dictionaries(st.sampled_from((*names, *valid)) | texts, json_values, max_size=4)
    dropped = st.sets(st.sampled_from(sorted(valid)), max_size=2)
    return st.builds(
        lambda change, without: {name: value for name, value in (valid | change).items() if name not in without},
        odd,
        dropped,
    )


def written(value: object) -> bytes:
    """JSON as careless programs write it: NaN, half surrogate pairs and huge numbers included."""
    return json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")


def escaped(value: object) -> bytes:
    """The same with every character outside of ASCII escaped."""
    return json.dumps(value).encode()


def damaged(content: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """The content, in some cases cut, or with other bytes in the middle."""

    def damage(whole: bytes, at: int, length: int, inserted: bytes) -> bytes:
        place = at % (len(whole) + 1)
        return whole[:place] + inserted + whole[place + length :]

    return content | st.builds(damage, content, st.integers(0, 2**16), st.integers(0, 64), st.binary(max_size=8))
