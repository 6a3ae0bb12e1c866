"""A Kafka server whose clients need TLS and an account."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from harness.authority import Authority
from harness.token_issuer import AUDIENCE, ISSUER, TokenIssuer
from headrace_local.kafka import Kafka, Node
from headrace_local.ports import HOST, free_ports
from headrace_local.process import Process
from headrace_local.server import Command
from headrace_local.startup import await_ready, launch_server

REAUTHENTICATE_MS = 3000
USER, PASSWORD = "headrace", "canary-of-kafka-7f3a"
MODULES = {
    "plain": f'plain.PlainLoginModule required user_{USER}="{PASSWORD}"',
    "scram-sha-256": "scram.ScramLoginModule required",
    "scram-sha-512": "scram.ScramLoginModule required",
    # Without a key to verify them the broker accepts tokens that are not signed, and compares their times.
    "oauthbearer": 'oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="unused"',
}


ALLOWED = "-Dorg.apache.kafka.sasl.oauthbearer.allowed"
"""Kafka reads keys from no other place than those that the start of its process allows (KIP-1139)."""
VALIDATOR = "org.apache.kafka.common.security.oauthbearer.BrokerJwtValidator"
HANDLER = "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler"


@dataclass
class SecuredKafka:
    """A running server. `sasl`, `tls`, `oauth`: addresses of its listeners, with an account, with a client's
    certificate and with a token that the issuer has signed.
    """

    authority: Authority
    issuer: TokenIssuer
    sasl: str
    tls: str
    oauth: str
    process: Process


class WithKeys(Kafka):
    """A broker that may read the keys of the issuer of tokens from a file."""

    @property
    def keys(self) -> Path:
        return self.home / "keys.json"

    def command(self) -> Command:
        java, *arguments = super().command().argv
        allowed = [f"{ALLOWED}.urls={self.keys.as_uri()}", f"{ALLOWED}.files={self.keys}"]
        return replace(super().command(), argv=[java, *allowed, *arguments])


@contextmanager
def secured_kafka(home: Path) -> Iterator[SecuredKafka]:
    """The server, until the end of the block."""
    authority = Authority.create(home / "authority")
    issuer, place = TokenIssuer(), home / "kafka"
    client, controller, sasl, tls, oauth = free_ports(5)
    listeners = {"CLIENT": client, "CONTROLLER": controller, "SASL": sasl, "TLS": tls, "OAUTH": oauth}
    protocols = "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_SSL,TLS:SSL,OAUTH:SASL_SSL"
    store = "listener.name.{}.ssl."
    properties: dict[str, object] = {
        "listeners": ",".join(f"{name}://{HOST}:{port}" for name, port in listeners.items()),
        "advertised.listeners": ",".join(
            f"{name}://{HOST}:{port}" for name, port in listeners.items() if name != "CONTROLLER"
        ),
        "listener.security.protocol.map": protocols,
        "listener.name.sasl.sasl.enabled.mechanisms": ",".join(MODULES).upper(),
        "listener.name.tls.ssl.client.auth": "required",
    }
    for listener in ("sasl", "tls", "oauth"):
        properties |= {
            f"{store.format(listener)}keystore.type": "PEM",
            f"{store.format(listener)}keystore.location": _keystore(authority),
            f"{store.format(listener)}truststore.type": "PEM",
            f"{store.format(listener)}truststore.location": authority.file,
        }
    # A token is used for this time at most, so that a test sees one expire.
    properties["listener.name.sasl.oauthbearer.connections.max.reauth.ms"] = REAUTHENTICATE_MS
    for mechanism, module in MODULES.items():
        package = "org.apache.kafka.common.security"
        properties[f"listener.name.sasl.{mechanism}.sasl.jaas.config"] = f"{package}.{module};"
    properties |= _verifying(place / "keys.json")
    scram = [f"{name}=[name={USER},password={PASSWORD}]" for name in ("SCRAM-SHA-256", "SCRAM-SHA-512")]
    place.mkdir()
    (place / "keys.json").write_text(issuer.keys())
    node = Node(1, client, controller)
    server = WithKeys(
        "kafka", place, node, [node], properties, [part for one in scram for part in ("--add-scram", one)]
    )
    log = place / "server.log"
    process = launch_server(server, listeners.values(), log, lambda step: None)
    try:
        await_ready(server, process, log, threading.Event())
        yield SecuredKafka(authority, issuer, *(f"{HOST}:{port}" for port in (sasl, tls, oauth)), process)
    finally:
        process.kill()


def _verifying(keys: Path) -> dict[str, object]:
    """The properties of a listener that takes tokens which this issuer has signed for this audience."""
    own = "listener.name.oauth."
    return {
        f"{own}sasl.enabled.mechanisms": "OAUTHBEARER",
        f"{own}oauthbearer.sasl.jaas.config": "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule "
        "required;",
        f"{own}oauthbearer.sasl.server.callback.handler.class": HANDLER,
        # Without the class a broker takes the validator of clients, which compares no signature.
        f"{own}sasl.oauthbearer.jwt.validator.class": VALIDATOR,
        f"{own}oauthbearer.sasl.oauthbearer.jwks.endpoint.url": keys.as_uri(),
        f"{own}oauthbearer.sasl.oauthbearer.expected.audience": AUDIENCE,
        f"{own}oauthbearer.sasl.oauthbearer.expected.issuer": ISSUER,
        f"{own}oauthbearer.connections.max.reauth.ms": REAUTHENTICATE_MS,
    }


def _keystore(authority: Authority) -> Path:
    """Kafka reads only PKCS#8 keys, before the certificate, as openssl writes them by -nodes."""
    return authority.sign("kafka")
