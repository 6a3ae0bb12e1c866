"""TLS to a server whose authority is known only by a fingerprint, which Elasticsearch prints at its first start.

The client's own check of a fingerprint does not help here. Under aiohttp it compares the server's certificate and not
the authority's. Under urllib3 it does not check that the authority signed the server's certificate: any server passes
that sends a copy of the authority's certificate.

Here the authority's certificate is taken from the chain that the server sends, recognised by its SHA-256, and trusted.
Then every connection is verified against it as usual. The host name is not compared: a private authority signs only for
the nodes of its cluster, and their certificates seldom have the name that clients use.
"""

import asyncio
import hashlib
import ssl
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from elastic_transport import AiohttpHttpNode, HttpHeaders, NodeConfig, TlsError
from elastic_transport import ConnectionError as ConnectionFailed
from elastic_transport.client_utils import DEFAULT, DefaultType
from OpenSSL import SSL

HANDSHAKE_SECONDS = 10.0
CHUNK = 65_536
SETTING = "HEADRACE_ELASTICSEARCH__CA_FINGERPRINT"
ADDRESS = "HEADRACE_ELASTICSEARCH__URL"


class PinnedNode(AiohttpHttpNode):
    """A node that trusts only the authority with the fingerprint `ssl_assert_fingerprint`."""

    def __init__(self, config: NodeConfig) -> None:
        assert config.ssl_assert_fingerprint is not None
        self._fingerprint = config.ssl_assert_fingerprint.replace(":", "").lower()
        self._trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._trust.check_hostname = False
        self._trust.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        super().__init__(replace(config, ssl_assert_fingerprint=None, ssl_context=self._trust))

    async def perform_request(  # type: ignore[override]  # as in AiohttpHttpNode: the base class is synchronous
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: HttpHeaders | None = None,
        request_timeout: DefaultType | float | None = DEFAULT,
    ) -> Any:
        if not self._trust.cert_store_stats()["x509"]:
            self._trust.load_verify_locations(cadata=await self._authority())
        return await super().perform_request(method, target, body, headers, request_timeout)

    async def _authority(self) -> bytes:
        """The certificate with the fingerprint, DER, from the chain that the server sends. Raises TlsError."""
        for certificate in await certificate_chain(self.host, self.port):
            if hashlib.sha256(certificate).hexdigest() == self._fingerprint:
                return certificate
        raise TlsError(f"{self.base_url} sends no certificate of that fingerprint: check {SETTING}")


async def certificate_chain(host: str, port: int) -> list[bytes]:
    """Every certificate that a server sends in its handshake, DER, unverified. Raises TlsError, and ConnectionError of
    elastic_transport.

    pyOpenSSL makes the handshake, because Python's own `ssl` gives only the first certificate before Python 3.13.
    """
    connection = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD))
    connection.set_connect_state()
    if not _is_address(host):
        # A proxy in front of several servers chooses one by this name. TLS allows no IP address here (RFC 6066, 3).
        connection.set_tlsext_host_name(host.encode("idna"))
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                await _handshake(connection, reader, writer)
            finally:
                writer.close()
    except (OSError, TimeoutError) as error:
        raise ConnectionFailed(f"{host}:{port}: {type(error).__name__}") from None
    except SSL.Error as error:
        raise TlsError(f"no handshake with {host}:{port} ({type(error).__name__}): check {ADDRESS}") from None
    chain = connection.get_peer_cert_chain(as_cryptography=True) or []
    return [certificate.public_bytes(Encoding.DER) for certificate in chain]


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


async def _handshake(connection: SSL.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            writer.write(_to_send(connection))
            received = await reader.read(CHUNK)
            if not received:
                raise SSL.Error from None
            connection.bio_write(received)
        else:
            writer.write(_to_send(connection))
            return


def _to_send(connection: SSL.Connection) -> bytes:
    """Empty while a message of the server has arrived only in part."""
    try:
        return connection.bio_read(CHUNK)
    except SSL.WantReadError:
        return b""
