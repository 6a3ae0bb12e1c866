"""Explains why a client cannot use Kafka. aiokafka only logs the reason, and raises the same error for every one."""

import asyncio

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
from headrace_clients.kafka_tokens import NoToken
from headrace_worker.settings import KafkaSettings
from headrace_worker.stage import Unavailable, UnavailableKind
from headrace_worker.tls_faults import TlsSettings, tls_fault

ANSWER_WITHIN = 10.0
"""Seconds that one server has to accept a connection."""


TLS = TlsSettings(
    address="HEADRACE_KAFKA__BOOTSTRAP_SERVERS",
    switch="HEADRACE_KAFKA__SECURITY_PROTOCOL",
    authority="HEADRACE_KAFKA__SSL_CA_FILE",
    certificate="HEADRACE_KAFKA__SSL_CERT_FILE",
)


async def obstacle(settings: KafkaSettings) -> Unavailable | None:
    """Why none of the bootstrap servers can be used; None as soon as one of them can."""
    options = client_options(settings)
    found: dict[str, UnavailableKind] = {}
    for host, port, _ in collect_hosts(options.pop("bootstrap_servers")):
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                connection = await create_conn(host, port, **options)
        except (OSError, KafkaError, TimeoutError) as error:
            text, kind = described(f"{host}:{port}", error, settings)
            found[text] = kind
        else:
            connection.close()
            return None
    kinds = set(found.values())
    return Unavailable("kafka", "; ".join(sorted(found)), kind=kinds.pop() if len(kinds) == 1 else "other")


def described(address: str, error: Exception, settings: KafkaSettings) -> tuple[str, UnavailableKind]:
    """What the error of a new connection means, and which setting to check. It contains no password."""
    at = f"Kafka at {address}"
    fault = tls_fault(error, TLS)
    protocol, mechanism = settings.security_protocol, settings.sasl_mechanism
    match error:
        case NoToken():
            return f"{at} needs a token: {error.args[0]}", "credentials"
        case _ if fault:
            return f"{at}: {fault}", "tls"
        case AuthenticationFailedError() | SaslAuthenticationFailed() if mechanism == "OAUTHBEARER":
            setting = "HEADRACE_KAFKA__SASL_TOKEN_" + ("FILE" if settings.sasl_token_file else "URL")
            return f"{at} refuses the token: check {setting}, and whether the token has expired", "credentials"
        case AuthenticationFailedError() | SaslAuthenticationFailed():
            names = "HEADRACE_KAFKA__SASL_USERNAME and HEADRACE_KAFKA__SASL_PASSWORD"
            return f"{at} refuses the credentials: check {names}", "credentials"
        case UnsupportedSaslMechanismError() | IllegalSaslStateError():
            return (
                f"{at} does not accept HEADRACE_KAFKA__SASL_MECHANISM={mechanism} with "
                f"HEADRACE_KAFKA__SECURITY_PROTOCOL={protocol}",
                "credentials",
            )
        case TimeoutError():
            return f"Kafka does not answer at {address} within {ANSWER_WITHIN:g} s", "unreachable"
        case ConnectionResetError() | KafkaConnectionError():
            return f"{at} closes the connection: check HEADRACE_KAFKA__SECURITY_PROTOCOL={protocol}", "other"
    return f"Kafka does not answer at {address} ({type(error).__name__})", "unreachable"
