"""Clients of Kafka with the options that the guarantees need."""

import ssl
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError
from faststream.kafka.security import parse_security
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from headrace_clients.header_names import read_any_header_name
from headrace_schemas.topics import FRAMING_BYTES
from headrace_worker.settings import KafkaSettings

READ_COMMITTED: Final = "read_committed"


def security(settings: KafkaSettings) -> BaseSecurity:
    """FastStream's description of the connection's security."""
    encrypted = settings.security_protocol.endswith("SSL")
    context = _ssl_context(settings) if encrypted else None
    if not settings.security_protocol.startswith("SASL"):
        return BaseSecurity(ssl_context=context, use_ssl=encrypted)
    if settings.sasl_username is None or settings.sasl_password is None:
        raise ValueError(
            f"HEADRACE_KAFKA__SECURITY_PROTOCOL={settings.security_protocol} needs HEADRACE_KAFKA__SASL_USERNAME "
            "and HEADRACE_KAFKA__SASL_PASSWORD"
        )
    mechanism = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}
    return mechanism[settings.sasl_mechanism](
        username=settings.sasl_username,
        password=settings.sasl_password.get_secret_value(),
        ssl_context=context,
        use_ssl=encrypted,
    )


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """The options of every aiokafka client (consumer, producer, admin)."""
    read_any_header_name()
    return {
        "bootstrap_servers": settings.bootstrap_servers.split(","),
        "client_id": "headrace",
        **parse_security(security(settings)),
    }


def consumer_options(settings: KafkaSettings) -> dict[str, Any]:
    """The options of every consumer. It reads the records of committed transactions only, its end offsets are the last
    stable offsets, and it commits nothing by itself.
    """
    return {**client_options(settings), "isolation_level": READ_COMMITTED, "enable_auto_commit": False}


def producer(settings: KafkaSettings, **options: Any) -> AIOKafkaProducer:
    """A producer that neither loses nor duplicates records: acks=all, idempotent."""
    return AIOKafkaProducer(
        **{
            **client_options(settings),
            "acks": "all",
            "enable_idempotence": True,
            "compression_type": "lz4",
            "linger_ms": 5,
            "max_batch_size": 262_144,
            "max_request_size": 2 * settings.max_record_bytes + FRAMING_BYTES,
            **options,
        }
    )


async def max_message_bytes(settings: KafkaSettings, topic: str) -> int | None:
    """The largest batch that the topic accepts, bytes, as compressed; None if the broker does not tell."""
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        await admin.start()
        replies = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    except (KafkaError, OSError):
        return None
    finally:
        await admin.close()
    entries = [entry for reply in replies for *_, found in reply.resources for entry in found]
    return next((int(value) for name, value, *_ in entries if name == "max.message.bytes"), None)


def _ssl_context(settings: KafkaSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ssl_ca_file)
    if settings.ssl_cert_file:
        context.load_cert_chain(settings.ssl_cert_file, settings.ssl_key_file)
    return context
