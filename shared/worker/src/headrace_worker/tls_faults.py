"""Why there is no TLS connection to a server, and which setting to check. The texts contain no secret."""

import re
import ssl
from collections.abc import Iterator
from typing import NamedTuple

HOST_NAME_CODES = (62, 64)
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH (openssl/x509_vfy.h)."""
DATE_CODES = (9, 10)
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""
GRPC_CERTIFICATE = re.compile(r"CERTIFICATE_VERIFY_FAILED: ([\w -]{1,80})")
GRPC_HOST_NAME = "Hostname Verification Check failed"
GRPC_HANDSHAKE = re.compile(r"SSL_ERROR|\b(tls|ssl) handshake", re.I)
"""What gRPC's own TLS says in the details of a call."""
EXPIRED = "certificate has expired"


class TlsSettings(NamedTuple):
    """The names of a server's settings: its address, whether to use TLS, the authorities to trust, the certificate of
    the client.
    """

    address: str
    switch: str
    authority: str
    certificate: str | None = None


def tls_fault(error: BaseException, settings: TlsSettings) -> str | None:
    """What the error, or one that it comes from, says of TLS; None if it says nothing."""
    for cause in _causes(error):
        # aiohttp's own kind of this error has no code, and the error itself behind it.
        if isinstance(cause, ssl.SSLCertVerificationError) and hasattr(cause, "verify_code"):
            return _not_accepted(cause.verify_message.rstrip("."), cause.verify_code, settings)
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLCertVerificationError):
            reason = (getattr(cause, "reason", None) or type(cause).__name__).replace("_", " ").lower()
            if settings.certificate and "alert" in reason and "certificate" in reason:
                return f"the server does not accept the client's certificate ({reason}): check {settings.certificate}"
            return _no_tls(f" ({reason})", settings)
    return None


def grpc_tls_fault(details: str, settings: TlsSettings) -> str | None:
    """What the details of a gRPC call say of TLS; None if they say nothing."""
    if found := GRPC_CERTIFICATE.search(details):
        why = found[1].strip().lower()
        return _not_accepted(why, DATE_CODES[1] if EXPIRED in why else 0, settings)
    if GRPC_HOST_NAME in details:
        return _not_accepted("another host name", HOST_NAME_CODES[0], settings)
    return _no_tls("", settings) if GRPC_HANDSHAKE.search(details) else None


def _not_accepted(why: str, code: int, settings: TlsSettings) -> str:
    if code in HOST_NAME_CODES:
        advice = f"the host in {settings.address} must be a name in the certificate"
    elif code in DATE_CODES:
        advice = "renew it on the server, or correct the clock of this machine"
    else:
        advice = f"check {settings.authority}"
    return f"the TLS certificate of the server is not accepted ({why}): {advice}"


def _no_tls(why: str, settings: TlsSettings) -> str:
    return f"there is no TLS connection{why}: check {settings.address} and {settings.switch}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and those it comes from: by Python's chaining, or as aiohttp and elastic_transport keep them."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inner = [one.__cause__, one.__context__, getattr(one, "certificate_error", None), *getattr(one, "errors", ())]
        waiting += [other for other in inner if isinstance(other, BaseException)]
