"""OAuth tokens for Kafka (SASL/OAUTHBEARER, RFC 7628): from a file, or from an OAuth 2 server."""

import asyncio
import ssl
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import OAuthAuthenticator
from aiokafka.errors import AuthenticationFailedError

from headrace_worker.settings import KafkaSettings
from headrace_worker.tls_faults import TlsSettings, tls_fault

ANSWER_WITHIN = 10.0
"""Seconds that the OAuth 2 server has to answer."""
USED_SHARE = 0.8
"""The share of its lifetime for which a token is used."""


TLS = TlsSettings(
    address="HEADRACE_KAFKA__SASL_TOKEN_URL",
    switch="whether it begins with https://",
    authority="HEADRACE_KAFKA__SSL_CA_FILE",
)


class NoToken(AuthenticationFailedError):  # type: ignore[misc]  # aiokafka has no types
    """There is no token to sign in with. The text names the setting to check, and contains no secret.

    It is an error of Kafka's, because aiokafka expects no other kind while it connects.
    """


def notice_refused_tokens() -> None:
    """Lets every connection fail whose token the broker refuses.

    The broker says so in a message (RFC 7628, 3.2.3), which aiokafka 0.14 takes for a success. The broker then answers
    every request with an error, from which aiokafka learns that there is no broker at all, and asks none again. This
    replaces the method of aiokafka that gets the message; it has no public way.
    """
    OAuthAuthenticator.step = _step


async def _step(authenticator: Any, answer: bytes | None) -> Any:
    if answer:
        raise AuthenticationFailedError("the broker refuses the token")
    return await _unchecked_step(authenticator, answer)


_unchecked_step = OAuthAuthenticator.step


class Tokens(AbstractTokenProvider):  # type: ignore[misc]
    """Where aiokafka gets a token for each new connection."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings

    async def token(self) -> str:
        """Raises NoToken."""
        if self._settings.sasl_token_file is not None:
            return await asyncio.to_thread(_token_in, self._settings.sasl_token_file)
        password = self._settings.sasl_password
        assert self._settings.sasl_token_url is not None
        assert self._settings.sasl_username is not None
        assert password is not None
        server = token_server(
            self._settings.sasl_token_url,
            self._settings.sasl_username,
            password.get_secret_value(),
            self._settings.sasl_token_scope,
            self._settings.ssl_ca_file,
        )
        return await server.token()

    def extensions(self) -> dict[str, str]:
        """What is sent beside the token (KIP-342)."""
        pairs = [pair.partition("=") for pair in self._settings.sasl_token_extensions.split(",") if pair.strip()]
        return {name.strip(): value.strip() for name, _, value in pairs}


class TokenServer:
    """Asks an OAuth 2 server for tokens with the client credentials grant (RFC 6749, 4.4), and keeps each while it is
    valid.
    """

    def __init__(self, url: str, client: str, secret: str, scope: str | None, ca_file: str | None) -> None:
        self._url = url
        self._credentials = (client, secret)
        self._form = {"grant_type": "client_credentials", **({"scope": scope} if scope else {})}
        self._trust = ssl.create_default_context()
        if ca_file:
            self._trust.load_verify_locations(ca_file)
        self._token = ""
        self._until = 0.0

    async def token(self) -> str:
        """The token, asked for again when most of its lifetime is over. Raises NoToken."""
        if time.monotonic() >= self._until:
            asked = time.monotonic()
            self._token, lifetime = await self._asked()
            self._until = asked + USED_SHARE * lifetime
        return self._token

    async def _asked(self) -> tuple[str, float]:
        # A process whose settings name no such server does not import it.
        import httpx

        try:
            async with httpx.AsyncClient(verify=self._trust, timeout=ANSWER_WITHIN) as client:
                answer = await client.post(self._url, data=self._form, auth=self._credentials)
            body = answer.json() if answer.is_success else {}
            return _usable(body["access_token"]), float(body.get("expires_in", 0))
        except httpx.HTTPError as error:
            why = (
                tls_fault(error, TLS)
                or f"does not answer ({type(error).__name__}): check HEADRACE_KAFKA__SASL_TOKEN_URL"
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            why = (
                f"gives no token (HTTP {answer.status_code}): check HEADRACE_KAFKA__SASL_USERNAME, "
                "HEADRACE_KAFKA__SASL_PASSWORD and HEADRACE_KAFKA__SASL_TOKEN_SCOPE"
            )
        raise NoToken(f"the OAuth server at {self._url}: {why}")


@lru_cache(maxsize=8)
def token_server(url: str, client: str, secret: str, scope: str | None, ca_file: str | None) -> TokenServer:
    """The one that all clients of this process share, so that each does not ask for a token of its own."""
    return TokenServer(url, client, secret, scope, ca_file)


def _token_in(file: str) -> str:
    try:
        return _usable(Path(file).read_text().strip())
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "has no token"
        raise NoToken(f"{file}: {why}: check HEADRACE_KAFKA__SASL_TOKEN_FILE") from None


def _usable(token: str) -> str:
    """Raises ValueError for text that is not a token (RFC 6750, 2.1), and would change the message that carries it."""
    if not (token and token.isascii() and token.isprintable() and " " not in token):
        raise ValueError
    return token
