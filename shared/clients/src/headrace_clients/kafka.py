"""Clients of Kafka with the options that the guarantees need."""

import ssl
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from headrace_clients.header_names import read_any_header_name
from headrace_clients.kafka_tokens import Tokens, notice_refused_tokens
from headrace_schemas.topics import FRAMING_BYTES
from headrace_worker.settings import KafkaSettings, load_client_certificate

READ_COMMITTED: Final = "read_committed"


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """The options of every aiokafka client (consumer, producer, admin): the one place that says how to connect."""
    read_any_header_name()
    return {
        "bootstrap_servers": settings.bootstrap_servers.split(","),
        "client_id": "headrace",
        **_security(settings),
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
    return await _number(settings, topic, "max.message.bytes")


async def retention(settings: KafkaSettings, topic: str) -> int | None:
    """How long the topic keeps a record, milliseconds; -1: for ever; None if the broker does not tell."""
    return await _number(settings, topic, "retention.ms")


async def _number(settings: KafkaSettings, topic: str, config: str) -> int | None:
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        await admin.start()
        replies = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    except (KafkaError, OSError):
        return None
    finally:
        await admin.close()
    entries = [entry for reply in replies for *_, found in reply.resources for entry in found]
    return next((int(value) for name, value, *_ in entries if name == config), None)


def _security(settings: KafkaSettings) -> dict[str, Any]:
    encrypted = settings.security_protocol.endswith("SSL")
    options = {
        "security_protocol": settings.security_protocol,
        "ssl_context": _ssl_context(settings) if encrypted else None,
    }
    if not settings.security_protocol.startswith("SASL"):
        return options
    if settings.sasl_mechanism == "OAUTHBEARER":
        notice_refused_tokens()
        return options | {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": Tokens(settings)}
    password = settings.sasl_password
    return options | {
        "sasl_mechanism": settings.sasl_mechanism,
        "sasl_plain_username": settings.sasl_username,
        "sasl_plain_password": password and password.get_secret_value(),
    }


def _ssl_context(settings: KafkaSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ssl_ca_file)
    if settings.ssl_cert_file:
        load_client_certificate(context, settings.ssl_cert_file, settings.ssl_key_file)
    return context
