"""Asks a Kafka node, in Kafka's own protocol, which brokers are alive.

A node opens its port before the controller lets it serve, so a connection alone does not show that it serves. The
local stack sends Kafka only this request, so it uses no client library.
"""

import socket
import struct

METADATA, VERSION = 3, 1
TIMEOUT = 2.0


def live_ports(host: str, port: int) -> set[int]:
    """The client ports of the live brokers as the node at `host:port` sees them; empty if it does not answer.

    Metadata request and response version 1, without topics: https://kafka.apache.org/protocol#The_Messages_Metadata
    """
    request = struct.pack(">hhih", METADATA, VERSION, 0, -1) + struct.pack(">i", 0)
    try:
        with socket.create_connection((host, port), timeout=TIMEOUT) as connection, connection.makefile("rb") as answer:
            connection.sendall(struct.pack(">i", len(request)) + request)
            (size,) = struct.unpack(">i", answer.read(4))
            return _broker_ports(answer.read(size))
    except (OSError, struct.error):
        return set()


def _broker_ports(body: bytes) -> set[int]:
    (count,) = struct.unpack_from(">i", body, 4)
    at, ports = 8, set()
    for _ in range(count):
        (host_length,) = struct.unpack_from(">h", body, at + 4)
        at += 6 + host_length
        port, rack_length = struct.unpack_from(">ih", body, at)
        at += 6 + max(rack_length, 0)
        ports.add(port)
    return ports
