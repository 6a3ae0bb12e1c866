"""An OAuth 2 server: signs JSON Web Tokens, and gives them to clients over HTTPS (RFC 6749, 4.4; RFC 7515)."""

import base64
import json
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import BasicAuth, web
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

HOST = "127.0.0.1"
AUDIENCE, ISSUER, SCOPE = "kafka", "https://issuer.example", "catalogue"
CLIENT, SECRET = "headrace", "canary-of-a-client-secret-3b8e"


class TokenIssuer:
    """`lifetime`: of the tokens that a client gets, seconds. `refusing`: no client gets one. `asked`: how often."""

    def __init__(self) -> None:
        self._key = generate_private_key(65537, 2048)
        self.lifetime = 60.0
        self.refusing = False
        self.asked = 0

    def keys(self) -> str:
        """The public key as a JSON Web Key Set (RFC 7517)."""
        numbers = self._key.public_key().public_numbers()
        parts = {name: _encoded(_bytes(value)) for name, value in (("n", numbers.n), ("e", numbers.e))}
        return json.dumps({"keys": [{"kty": "RSA", "kid": "one", "alg": "RS256", "use": "sig", **parts}]})

    def token(self, seconds: float = 60.0, **claims: Any) -> str:
        """A signed token that expires then. `claims` replace its own."""
        now = int(time.time())
        own = {"sub": CLIENT, "iss": ISSUER, "aud": AUDIENCE, "scope": SCOPE, "iat": now - 60, "exp": now + seconds}
        parts = [{"alg": "RS256", "kid": "one", "typ": "JWT"}, own | claims]
        signed = ".".join(_encoded(json.dumps(part).encode()) for part in parts)
        return f"{signed}.{_encoded(self._key.sign(signed.encode(), PKCS1v15(), SHA256()))}"

    @asynccontextmanager
    async def serving(self, context: ssl.SSLContext) -> AsyncIterator[str]:
        """The URL where clients get tokens."""
        app = web.Application()
        app.router.add_post("/token", self._answer)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, 0, ssl_context=context).start()
            yield f"https://{HOST}:{runner.addresses[0][1]}/token"
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        form: Mapping[str, Any] = await request.post()
        account = BasicAuth.decode(request.headers["Authorization"])
        if self.refusing or (account.login, account.password) != (CLIENT, SECRET):
            return web.json_response({"error": "invalid_client"}, status=401)
        if form.get("grant_type") != "client_credentials" or form.get("scope", SCOPE) != SCOPE:
            return web.json_response({"error": "invalid_scope"}, status=400)
        token = self.token(self.lifetime)
        return web.json_response({"access_token": token, "token_type": "Bearer", "expires_in": self.lifetime})


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
