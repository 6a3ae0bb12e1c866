"""The sessions of operators, in memory: a restart ends them all."""

import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

MAX_SESSIONS = 1000


@dataclass
class Session:
    """`actor`: the operator's name for the audit; None before the sign-in. `csrf`: the secret that a form must send."""

    expires: float
    actor: str | None = None
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    def owns(self, csrf: str) -> bool:
        """Whether a form has the secret of this session."""
        return hmac.compare_digest(csrf.encode(errors="surrogatepass"), self.csrf.encode())


class Sessions:
    """Sessions by the secret in the cookie. `lifetime`: seconds. `clock`: monotonic seconds."""

    def __init__(self, lifetime: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._lifetime = lifetime
        self._clock = clock
        self._open: dict[str, Session] = {}

    def begin(self) -> str:
        """Starts a session; returns its secret. If there are too many sessions, the oldest end."""
        secret = secrets.token_urlsafe(32)
        self._open[secret] = Session(self._clock() + self._lifetime)
        while len(self._open) > MAX_SESSIONS:
            self._open.pop(next(iter(self._open)))
        return secret

    def get(self, secret: str | None) -> Session | None:
        """The session; None if it is unknown or has expired."""
        session = self._open.get(secret or "")
        if session is None or self._clock() >= session.expires:
            self.end(secret)
            return None
        return session

    def end(self, secret: str | None) -> None:
        """Ends the session."""
        self._open.pop(secret or "", None)
