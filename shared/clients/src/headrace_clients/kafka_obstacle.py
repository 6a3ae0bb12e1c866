"""Explains why a client cannot use Kafka. aiokafka only logs the reason, and raises the same error for every one."""

import asyncio
import ssl

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from headrace_clients.kafka import client_options
from headrace_worker.settings import KafkaSettings

ANSWER_WITHIN = 10.0
"""Seconds that one server has to accept a connection."""


async def obstacle(settings: KafkaSettings) -> str | None:
    """Why none of the bootstrap servers can be used; None as soon as one of them can."""
    options = client_options(settings)
    found = []
    for host, port, _ in collect_hosts(options.pop("bootstrap_servers")):
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                connection = await create_conn(host, port, **options)
        except (OSError, KafkaError, TimeoutError) as error:
            found.append(described(f"{host}:{port}", error, settings))
        else:
            connection.close()
            return None
    return "; ".join(sorted(found))


def described(address: str, error: Exception, settings: KafkaSettings) -> str:
    """What the error of a new connection means, and which setting to check. It contains no password."""
    match error:
        case ssl.SSLCertVerificationError():
            return (
                f"the TLS certificate of Kafka at {address} is not accepted ({error}): check "
                "HEADRACE_KAFKA__SSL_CA_FILE"
            )
        case ssl.SSLError():
            return (
                f"there is no TLS connection to Kafka at {address} ({error}): check "
                "HEADRACE_KAFKA__SECURITY_PROTOCOL and HEADRACE_KAFKA__SSL_CERT_FILE"
            )
        case AuthenticationFailedError() | SaslAuthenticationFailed():
            return (
                f"Kafka at {address} refuses the credentials: check HEADRACE_KAFKA__SASL_USERNAME and "
                "HEADRACE_KAFKA__SASL_PASSWORD"
            )
        case UnsupportedSaslMechanismError() | IllegalSaslStateError():
            return (
                f"Kafka at {address} does not accept HEADRACE_KAFKA__SASL_MECHANISM={settings.sasl_mechanism} with "
                f"HEADRACE_KAFKA__SECURITY_PROTOCOL={settings.security_protocol}"
            )
        case TimeoutError():
            return f"Kafka does not answer at {address} within {ANSWER_WITHIN:g} s"
        case ConnectionResetError() | KafkaConnectionError():
            return (
                f"Kafka at {address} closes the connection: check HEADRACE_KAFKA__SECURITY_PROTOCOL="
                f"{settings.security_protocol}"
            )
    return f"Kafka does not answer at {address} ({type(error).__name__})"
