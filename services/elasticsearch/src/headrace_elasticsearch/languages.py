"""Languages whose words the analyzer of all texts cannot find, because they are written without spaces or with endings.

A text in one of them is indexed a second time, in fields under the language's code (`ko.title`), with an analyzer of
that language. A catalogue may mix them: each document has the fields of its own language only, and a query is searched
in the fields of the languages that its script can be.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from headrace_schemas.changes import KeywordChange, ProductChange
from headrace_schemas.fields import Kind

ANALYZERS: Mapping[str, str] = {"ja": "kuromoji", "ko": "nori", "zh": "cjk"}
"""The analyzer of each language, where the server has it."""
OTHERS = ("cjk", "standard")
"""Those for a language whose own analyzer the server lacks. `cjk` finds each pair of neighbouring characters; a full
Elasticsearch has it without a plugin.
"""
ANALYZED: Mapping[Kind, Sequence[str]] = {
    "product": ("title", "description", "brand", "category"),
    "keyword": ("text",),
}
"""The fields that are indexed a second time."""
HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]")
KANA = re.compile("[\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f]")
HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")


def language_of(change: ProductChange | KeywordChange) -> str | None:
    """The language of a change: that of its locale; without a locale, the one that its script shows. None for a
    language without fields of its own.
    """
    if change.locale:
        return _of_locale(change.locale)
    text = change.title if isinstance(change, ProductChange) else change.text
    possible = languages_of_text(text or "")
    return possible[0] if possible else None


def languages_of_text(text: str) -> tuple[str, ...]:
    """The languages that a text can be in, by its script. Han characters alone are Japanese or Chinese."""
    if text.isascii():
        return ()
    if HANGUL.search(text):
        return ("ko",)
    if KANA.search(text):
        return ("ja",)
    return ("zh", "ja") if HAN.search(text) else ()


def fields_of_language(change: ProductChange | KeywordChange) -> tuple[str, dict[str, Any]] | None:
    """The language of a change, and its texts for the fields of that language; None if it has none of its own."""
    language = language_of(change)
    if language is None:
        return None
    return language, {name: text for name in ANALYZED[change.kind] if (text := getattr(change, name)) is not None}


def properties_of_languages(kind: Kind) -> dict[str, Any]:
    """The mapping of the fields of all languages."""
    return {
        language: {"properties": {name: {"type": "text", "analyzer": analyzer} for name in ANALYZED[kind]}}
        for language, analyzer in ANALYZERS.items()
    }


def searched_fields(text: str, fields: Sequence[str]) -> list[str]:
    """The fields of a search for the text: these, which may have weights (`title^3`), in all its possible languages."""
    return [*fields, *(f"{language}.{field}" for language in languages_of_text(text) for field in fields)]


@lru_cache(maxsize=1024)
def _of_locale(locale: str) -> str | None:
    language = re.split("[-_]", locale, maxsplit=1)[0].lower()
    return language if language in ANALYZERS else None
