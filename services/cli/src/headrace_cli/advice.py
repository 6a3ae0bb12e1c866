"""What helps when a server does not answer a command: it depends on where the server is and on what it said."""

import os
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import parse_qs, urlsplit

from headrace_worker.stage import Unavailable

ADDRESSES = {
    "kafka": ("HEADRACE_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:9092"),
    "elasticsearch": ("HEADRACE_ELASTICSEARCH__URL", "http://127.0.0.1:9200"),
    "qdrant": ("HEADRACE_QDRANT__URL", "http://127.0.0.1:6333"),
    "postgres": ("HEADRACE_POSTGRES__DSN", "postgresql://127.0.0.1:5432"),
    "triton": ("HEADRACE_TRITON__URL", "127.0.0.1:8001"),
}
"""For each server the variable of its address, and the default of that variable."""


def advice(error: Unavailable) -> str | None:
    """What to do about a server that cannot be reached; None after any other error, which says it itself."""
    return unreachable(error.store) if error.kind == "unreachable" and error.store in ADDRESSES else None


def unreachable(server: str) -> str:
    """What to do about a server that cannot be reached. The text contains no user and no password."""
    variable, default = ADDRESSES[server]
    places = list(_places(os.environ.get(variable) or default))
    if all(_is_local(host) for host, _ in places):
        return f"start it with `headrace up`, or set {variable}"
    where = ", ".join(f"{host}:{port}" if port else host for host, port in places)
    return f"check that it runs at {where}, and that {variable} is its address"


def _places(addresses: str) -> Iterator[tuple[str, int | None]]:
    """Host and port of each address: a URL, or host:port, several of them separated by commas.

    The user and password are cut off first: a password may contain commas. A DSN may name its hosts in its query.
    """
    parts = urlsplit(addresses.strip() if "://" in addresses else f"//{addresses.strip()}")
    hosts = parts.netloc.rpartition("@")[2] or ",".join(parse_qs(parts.query).get("host", ()))
    for host in hosts.split(","):
        try:
            place = urlsplit(f"//{host.strip()}")
            yield place.hostname or "", place.port
        except ValueError:
            yield host.strip(), None


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        # A DSN without a host means the socket of this machine.
        return host in ("", "localhost")
