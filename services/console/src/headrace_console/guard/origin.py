"""Whether a request may be answered at all: pure decisions over its headers."""

from collections.abc import Collection, Mapping

SAFE_METHODS = frozenset({"GET", "HEAD"})


def named_host(header: str) -> str:
    """The host that a Host header names, without its port, in lower case."""
    host = header.strip().lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def host_is_ours(header: str | None, names: Collection[str]) -> bool:
    """A page of another site whose name was made to point here (DNS rebinding) still says that name."""
    return header is not None and named_host(header) in names


def came_from_us(headers: Mapping[str, str], schemes: Collection[str]) -> bool:
    """Whether what sends the form is a page of this very host and port.

    Every browser of today sends Origin with a POST. Where a browser also says Sec-Fetch-Site, both must agree.
    """
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    host = headers.get("host", "")
    return headers.get("origin") in {f"{scheme}://{host}" for scheme in schemes}
