"""Whether a form comes from a page of this console, decided from the request's headers."""

from collections.abc import Collection, Mapping

SAFE_METHODS = frozenset({"GET", "HEAD"})


def from_own_page(headers: Mapping[str, str], schemes: Collection[str]) -> bool:
    """Whether the page that sends the form has this host and port.

    Browsers send Origin with each POST. A browser that also sends Sec-Fetch-Site must say `same-origin` there.
    """
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    host = headers.get("host", "")
    return headers.get("origin") in {f"{scheme}://{host}" for scheme in schemes}
