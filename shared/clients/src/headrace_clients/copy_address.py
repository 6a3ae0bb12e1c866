"""The HTTP address of a copy of a worker, announced to everybody who asks Kafka for the members of its consumer group.

A consumer sends some bytes of its own when it joins a group (`user_data` of the consumer protocol), and Kafka shows
them with the group. Kafka Streams announces its `application.server` in the same way:
https://kafka.apache.org/documentation/#streamsconfigs_application.server
"""

import ipaddress
import socket
from collections.abc import Iterable
from typing import Any, NamedTuple

from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata

from headrace_worker.settings import HttpSettings

MARK = "headrace-http"


class CopyAddress(NamedTuple):
    """`machine`: the name of the machine that it runs on; `host` and `port`: what it listens on there."""

    machine: str
    host: str
    port: int

    def url(self, seen_from: str) -> str | None:
        """The address to ask, None if it cannot be reached from this machine.

        `seen_from`: the address from which Kafka sees the copy, for a copy that listens on every address.
        """
        if _is(self.host, "is_loopback") and self.machine != socket.gethostname():
            return None
        host = seen_from if _is(self.host, "is_unspecified") else self.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def assignors(http: HttpSettings) -> list[type[RoundRobinPartitionAssignor]]:
    """aiokafka's default assignor, which announces where the consumer's process answers HTTP. Port 0: it does not."""
    if not http.port:
        return [RoundRobinPartitionAssignor]
    user_data = f"{MARK} {socket.gethostname()} {http.host} {http.port}".encode()

    class Announcing(RoundRobinPartitionAssignor):  # type: ignore[misc]  # aiokafka has no types
        @classmethod
        def metadata(cls, topics: Iterable[str]) -> Any:
            return ConsumerProtocolMemberMetadata(cls.version, list(topics), user_data)

    return [Announcing]


def announced(member_metadata: bytes) -> CopyAddress | None:
    """What a member of a group has announced; None for a member that announces no address."""
    try:
        user_data = ConsumerProtocolMemberMetadata.decode(member_metadata).user_data or b""
        mark, machine, host, port = user_data.decode().split(" ")
        return CopyAddress(machine, host, int(port)) if mark == MARK else None
    except (ValueError, TypeError, IndexError):
        return None


def _is(host: str, what: str) -> bool:
    try:
        return bool(getattr(ipaddress.ip_address(host), what))
    except ValueError:
        return what == "is_loopback" and host == "localhost"
