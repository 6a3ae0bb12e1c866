"""A Kafka server whose clients need TLS and an account."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.authority import Authority
from headrace_local.kafka import Kafka, Node
from headrace_local.ports import HOST, free_ports
from headrace_local.process import Process
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


@dataclass
class SecuredKafka:
    """A running server. `sasl`, `tls`: addresses of its listeners, with an account and with a client's certificate."""

    authority: Authority
    sasl: str
    tls: str
    process: Process


@contextmanager
def secured_kafka(home: Path) -> Iterator[SecuredKafka]:
    """The server, until the end of the block."""
    authority = Authority.create(home / "authority")
    client, controller, sasl, tls = free_ports(4)
    listeners = {"CLIENT": client, "CONTROLLER": controller, "SASL": sasl, "TLS": tls}
    protocols = "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_SSL,TLS:SSL"
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
    for listener in ("sasl", "tls"):
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
    scram = [f"{name}=[name={USER},password={PASSWORD}]" for name in ("SCRAM-SHA-256", "SCRAM-SHA-512")]
    place = home / "kafka"
    place.mkdir()
    node = Node(1, client, controller)
    server = Kafka("kafka", place, node, [node], properties, [part for one in scram for part in ("--add-scram", one)])
    log = place / "server.log"
    process = launch_server(server, listeners.values(), log, lambda step: None)
    try:
        await_ready(server, process, log, threading.Event())
        yield SecuredKafka(authority, f"{HOST}:{sasl}", f"{HOST}:{tls}", process)
    finally:
        process.kill()


def _keystore(authority: Authority) -> Path:
    """Kafka reads only PKCS#8 keys, before the certificate, as openssl writes them by -nodes."""
    return authority.sign("kafka")
