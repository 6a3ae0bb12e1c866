"""The text of a product or keyword that is embedded, and its hash, by which an unchanged text is recognised."""

import hashlib

from headrace_schemas.changes import KeywordChange, ProductChange


def entity_text(change: ProductChange | KeywordChange) -> str:
    """The text of an upsert, without the model's prefix.

    The most important fields of a product come first, because a long text is cut at its end. Price, currency and
    attributes are left out: they change often, add little meaning, and a change of them must not compute a new vector.
    A missing field adds nothing.
    """
    if isinstance(change, KeywordChange):
        return _one_line(change.text)
    parts = (_one_line(part) for part in (change.title, change.brand, change.category, change.description))
    return ". ".join(part for part in parts if part)


def content_hash(embedded_text: str) -> str:
    """SHA-256 in hexadecimal of the exact text that is embedded, prefix included."""
    return hashlib.sha256(embedded_text.encode("utf-8")).hexdigest()


def _one_line(text: str | None) -> str:
    """`text` with each run of white space as one space, so that a change of formatting is not a new text."""
    return " ".join(text.split()) if text else ""
