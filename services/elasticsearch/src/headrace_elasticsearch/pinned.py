"""TLS to a server whose authority is known by its fingerprint alone, as Elasticsearch prints it at its first start.

The client's own check of a fingerprint compares, under aiohttp, the server's certificate and never its authority's.
Here the authority is taken from the chain that the server presents, recognised by its SHA-256, and trusted; every
connection is then verified against it as usual. The host name is not compared: a private authority vouches for the
cluster's own nodes only, and their certificates seldom name what clients call them.
"""

import asyncio
import hashlib
import ssl
from dataclasses import replace
from typing import Any

from elastic_transport import AiohttpHttpNode, HttpHeaders, NodeConfig, TlsError
from elastic_transport.client_utils import DEFAULT, DefaultType

HANDSHAKE_TIMEOUT = 10.0


class PinnedNode(AiohttpHttpNode):
    """A node that learns whom to trust, by `ssl_assert_fingerprint`, before its first request."""

    def __init__(self, config: NodeConfig) -> None:
        assert config.ssl_assert_fingerprint is not None
        self._fingerprint = config.ssl_assert_fingerprint.replace(":", "").lower()
        self._trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._trust.check_hostname = False
        self._trust.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        self._trusts = False
        super().__init__(replace(config, ssl_assert_fingerprint=None, ssl_context=self._trust))

    async def perform_request(  # type: ignore[override]  # as in AiohttpHttpNode: the base class is synchronous
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: HttpHeaders | None = None,
        request_timeout: DefaultType | float | None = DEFAULT,
    ) -> Any:
        if not self._trusts:
            self._trust.load_verify_locations(cadata=await self._authority())
            self._trusts = True
        return await super().perform_request(method, target, body, headers, request_timeout)

    async def _authority(self) -> bytes:
        """The certificate of the fingerprint, DER, from what the server presents."""
        for certificate in await _presented(self.host, self.port):
            if hashlib.sha256(certificate).hexdigest() == self._fingerprint:
                return certificate
        raise TlsError(f"{self.base_url} presents no certificate with the fingerprint that is set")


async def _presented(host: str, port: int) -> list[bytes]:
    """Every certificate of a server's chain, DER, none of them verified."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(HANDSHAKE_TIMEOUT):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except (OSError, TimeoutError) as error:
        raise TlsError(f"no handshake with {host}:{port}: {type(error).__name__}") from None
    try:
        # Public only from Python 3.13, where it gives bytes.
        chain = writer.get_extra_info("ssl_object")._sslobj.get_unverified_chain()
        return [ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in chain]
    finally:
        writer.close()
