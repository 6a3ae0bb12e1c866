"""What an error of a new connection to Kafka says to an operator."""

import ssl

import pytest
from aiokafka.errors import KafkaConnectionError, SaslAuthenticationFailed, UnsupportedSaslMechanismError
from pydantic import SecretStr

from headrace_clients.kafka_obstacle import described, obstacle
from headrace_worker.settings import KafkaSettings

SETTINGS = KafkaSettings(
    security_protocol="SASL_SSL", sasl_mechanism="PLAIN", sasl_username="u", sasl_password=SecretStr("secret")
)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(), "Kafka does not answer at kafka:9092 (ConnectionRefusedError)"),
        (TimeoutError(), "Kafka does not answer at kafka:9092 within"),
        (SaslAuthenticationFailed(), "refuses the credentials: check HEADRACE_KAFKA__SASL_USERNAME"),
        (UnsupportedSaslMechanismError(), "HEADRACE_KAFKA__SASL_MECHANISM=PLAIN"),
        (ssl.SSLError(), "HEADRACE_KAFKA__SECURITY_PROTOCOL"),
        (KafkaConnectionError(), "HEADRACE_KAFKA__SECURITY_PROTOCOL=SASL_SSL"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_names_the_address_and_the_setting(error: Exception, words: str) -> None:
    text, _ = described("kafka:9092", error, SETTINGS)
    assert words in text
    assert "kafka:9092" in text
    assert "secret" not in text


async def test_every_server_that_does_not_answer_is_named() -> None:
    found = await obstacle(KafkaSettings(bootstrap_servers="127.0.0.1:1,127.0.0.1:2"))
    assert found is not None
    assert found.kind == "unreachable"
    assert found.detail.count("Kafka does not answer at 127.0.0.1:") == 2
