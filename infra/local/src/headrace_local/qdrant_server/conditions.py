"""Filters of the REST interface as filters of the engine."""

# The engine's stubs name unions that do not exist at run time.
from __future__ import annotations

import uuid
from datetime import date
from typing import assert_never

import numpy as np
import qdrant_edge as engine
from qdrant_client import models

from headrace_local.qdrant_server.refusal import wrong_input


def optional_filter(wanted: models.Filter | None) -> engine.Filter | None:
    return None if wanted is None else engine_filter(wanted)


def engine_filter(wanted: models.Filter) -> engine.Filter:
    """The same filter for the engine.

    Raises
    ------
    Refusal
        400 for geographic conditions, which the development server leaves out, and for an invalid id.
    """
    least = wanted.min_should
    return engine.Filter(
        must=_conditions(wanted.must),
        should=_conditions(wanted.should),
        must_not=_conditions(wanted.must_not),
        min_should=engine.MinShould(_conditions(least.conditions) or [], least.min_count) if least else None,
    )


def point_id(given: int | str | uuid.UUID) -> engine.PointId:
    """An id as the engine accepts it: an unsigned integer or a UUID."""
    if isinstance(given, uuid.UUID):
        return given
    if isinstance(given, int):
        if given < 0:
            raise wrong_input(f"value {given} is not a valid point ID")
        return given
    try:
        return uuid.UUID(given)
    except ValueError:
        raise wrong_input(
            f"value {given} is not a valid point ID, valid values are either an unsigned integer or a UUID"
        ) from None


def _conditions(wanted: list[models.Condition] | models.Condition | None) -> list[engine.ConditionType] | None:
    if wanted is None:
        return None
    return [_condition(one) for one in (wanted if isinstance(wanted, list) else [wanted])]


def _condition(wanted: models.Condition) -> engine.ConditionType:
    match wanted:
        case models.FieldCondition():
            return _field(wanted)
        case models.Filter():
            return engine_filter(wanted)
        case models.IsEmptyCondition():
            return engine.IsEmptyCondition(wanted.is_empty.key)
        case models.IsNullCondition():
            return engine.IsNullCondition(wanted.is_null.key)
        case models.HasIdCondition():
            return engine.HasIdCondition({point_id(one) for one in wanted.has_id})
        case models.HasVectorCondition():
            return engine.HasVectorCondition(wanted.has_vector)
        case models.NestedCondition():
            return engine.NestedCondition(wanted.nested.key, engine_filter(wanted.nested.filter))
        case _:
            raise wrong_input(f"the development server does not support the condition {type(wanted).__name__}")


def _field(wanted: models.FieldCondition) -> engine.FieldCondition:
    if wanted.geo_bounding_box or wanted.geo_radius or wanted.geo_polygon:
        raise wrong_input("the development server does not support geographic conditions")
    count = wanted.values_count
    return engine.FieldCondition(
        wanted.key,
        match=_match(wanted.match) if wanted.match else None,
        range=_range(wanted.range) if wanted.range else None,
        values_count=engine.ValuesCount(lt=count.lt, gt=count.gt, lte=count.lte, gte=count.gte) if count else None,
        is_empty=wanted.is_empty,
        is_null=wanted.is_null,
    )


def _range(wanted: models.Range | models.DatetimeRange) -> engine.RangeType:
    if isinstance(wanted, models.Range):
        return engine.RangeFloat(gte=wanted.gte, gt=wanted.gt, lte=wanted.lte, lt=wanted.lt)
    return engine.RangeDateTime(gte=_text(wanted.gte), gt=_text(wanted.gt), lte=_text(wanted.lte), lt=_text(wanted.lt))


def _text(moment: date | None) -> str | None:
    return moment.isoformat() if moment else None


def _match(wanted: models.Match) -> engine.MatchType:
    match wanted:
        case models.MatchValue():
            return engine.MatchValue(_distinct(wanted.value))
        case models.MatchAny():
            return engine.MatchAny(wanted.any)
        case models.MatchExcept():
            return engine.MatchExcept(wanted.except_)
        case models.MatchText():
            return engine.MatchText(wanted.text)
        case models.MatchTextAny():
            return engine.MatchTextAny(wanted.text_any)
        case models.MatchPhrase():
            return engine.MatchPhrase(wanted.phrase)
        case models.MatchPrefix():
            return engine.MatchPrefix(wanted.prefix)
        case models.MatchSubstring():
            return engine.MatchSubstring(wanted.substring)
        case _:
            assert_never(wanted)


def _distinct(value: bool | int | str) -> bool | int | str:
    """Keep booleans apart from integers.

    The engine's binding (0.9.0) takes Python's True, which is an int, for the number 1, and a condition on it then
    matches 1 and never true. NumPy's booleans are not integers, and the binding reads them as booleans.
    """
    return np.bool_(value) if isinstance(value, bool) else value  # type: ignore[return-value]
