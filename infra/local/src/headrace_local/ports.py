"""Loopback ports that stay the same over restarts."""

import random
import socket

from headrace_local.errors import StackError

HOST = "127.0.0.1"
# Below the range that Linux and macOS use for outgoing connections: a client that reconnects to a killed server could
# otherwise get that server's port.
LOWEST, HIGHEST = 20000, 32000


def free_ports(count: int) -> list[int]:
    """`count` different ports on which nothing listens now.

    Raises
    ------
    StackError
        If the range is used up.
    """
    chosen: list[int] = []
    for candidate in random.sample(range(LOWEST, HIGHEST), k=HIGHEST - LOWEST):
        if len(chosen) == count:
            return chosen
        if is_free(candidate):
            chosen.append(candidate)
    raise StackError(f"fewer than {count} free ports between {LOWEST} and {HIGHEST} on {HOST}")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
