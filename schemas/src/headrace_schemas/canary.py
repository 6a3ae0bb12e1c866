"""The canary: one product and one keyword under a reserved id, by which the worker `canary` measures freshness.

Every store keeps them as deleted, so that no reader of users' data finds them, and shows them to a canary search alone.
"""

import re

CANARY_ID = "headrace-canary"
"""The id of both. Whoever publishes this id, it is stored as a canary."""
CANARY_WORDS = "headrace canary"
_TEXT = re.compile(rf"{CANARY_WORDS} ([1-9][0-9]{{0,18}})")


def canary_text(version: int) -> str:
    """The title of the canary product and the text of the canary keyword. It differs in each version, so that each
    version is embedded and linked.
    """
    return f"{CANARY_WORDS} {version}"


def version_in(text: str | None) -> int | None:
    """The version that a text of the canary names; None for any other text."""
    found = _TEXT.fullmatch(text or "")
    return int(found[1]) if found else None
