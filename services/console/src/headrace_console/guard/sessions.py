"""Who has signed in: kept in memory, so that a restart signs everybody out."""

import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

MOST_SESSIONS = 1000


@dataclass
class Session:
    """`actor`: the name that actions are recorded under; None until it is given. `csrf`: what a form must send back."""

    expires: float
    actor: str | None = None
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    def owns(self, csrf: str) -> bool:
        """Whether a form came from a page of this session."""
        return hmac.compare_digest(csrf.encode(errors="surrogatepass"), self.csrf.encode())


class Sessions:
    """By the secret that the cookie carries. `lifetime`: seconds. `clock`: seconds, monotonic."""

    def __init__(self, lifetime: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._lifetime = lifetime
        self._clock = clock
        self._open: dict[str, Session] = {}

    def begin(self) -> str:
        """A new session's secret. Of too many sessions the oldest end."""
        secret = secrets.token_urlsafe(32)
        self._open[secret] = Session(self._clock() + self._lifetime)
        while len(self._open) > MOST_SESSIONS:
            self._open.pop(next(iter(self._open)))
        return secret

    def get(self, secret: str | None) -> Session | None:
        """The session, unless it is unknown or over."""
        session = self._open.get(secret or "")
        if session is None or self._clock() >= session.expires:
            self.end(secret)
            return None
        return session

    def end(self, secret: str | None) -> None:
        """Forgets it."""
        self._open.pop(secret or "", None)
