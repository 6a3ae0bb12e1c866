"""The token that lets an operator in."""

import hashlib
import hmac
import secrets
import time
from collections import deque
from collections.abc import Callable

WRONG_TRIES, WITHIN_SECONDS = 10, 60.0


class TooManyTries(Exception):
    """So many wrong tokens came in the last minute that none is looked at now, the right one neither."""


def new_token() -> str:
    """256 random bits as text that fits a URL."""
    return secrets.token_urlsafe(32)


class Token:
    """Compares in constant time, and only so many wrong ones a minute. `clock`: seconds, monotonic."""

    def __init__(self, value: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._digest = _digest(value)
        self._clock = clock
        self._wrong: deque[float] = deque(maxlen=WRONG_TRIES)

    def matches(self, given: str) -> bool:
        """Whether it is the token. Raises TooManyTries."""
        now = self._clock()
        if len(self._wrong) == WRONG_TRIES and now - self._wrong[0] < WITHIN_SECONDS:
            raise TooManyTries
        if hmac.compare_digest(_digest(given), self._digest):
            return True
        self._wrong.append(now)
        return False


def _digest(value: str) -> bytes:
    """Of one length for every value: how long the comparison takes does not tell how long the token is."""
    return hashlib.sha256(value.encode(errors="surrogatepass")).digest()
