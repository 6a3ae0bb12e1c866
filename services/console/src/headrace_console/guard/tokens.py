"""The token that an operator signs in with."""

import hashlib
import hmac
import secrets
import time
from collections import deque
from collections.abc import Callable

MAX_WRONG_TRIES, WITHIN_SECONDS = 10, 60.0


class TooManyTries(Exception):
    """There were too many wrong tokens in the last minute; no token is checked now."""


def new_token() -> str:
    """256 random bits as text for a URL."""
    return secrets.token_urlsafe(32)


class Token:
    """Compares in constant time, and limits wrong tries. `clock`: monotonic seconds."""

    def __init__(self, value: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._digest = _digest(value)
        self._clock = clock
        self._wrong: deque[float] = deque(maxlen=MAX_WRONG_TRIES)

    def matches(self, given: str) -> bool:
        """Whether it is the token. Raises TooManyTries."""
        now = self._clock()
        if len(self._wrong) == MAX_WRONG_TRIES and now - self._wrong[0] < WITHIN_SECONDS:
            raise TooManyTries
        if hmac.compare_digest(_digest(given), self._digest):
            return True
        self._wrong.append(now)
        return False


def _digest(value: str) -> bytes:
    """All digests have one length, so that the time of a comparison does not depend on the token's length."""
    return hashlib.sha256(value.encode(errors="surrogatepass")).digest()
