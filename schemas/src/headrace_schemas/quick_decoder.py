"""Decodes the JSON of a record in about half of pydantic's time.

A quick decoder is derived from a record's model and accepts a part of what the model accepts: for any other value it
returns None, and the model decides and names the error. What it accepts equals what the model makes of it.

orjson parses the JSON. Then one look-up finds what the types of the values are worth: a tuple of types that was met
before has a plan, the few values that need more than their type. Each rule for a type stands beside the type's limits
in `fields`; a field of a type without a rule here is validated by pydantic alone.
"""

from collections.abc import Callable, Mapping
from math import isfinite
from types import UnionType
from typing import Annotated, Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

import orjson
import pybase64
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from headrace_schemas.embedded import VectorBytes
from headrace_schemas.fields import (
    DECIMAL,
    MAX_ATTRIBUTE_KEY_BYTES,
    MAX_DEPTH,
    MAX_ID_BYTES,
    MAX_KEYWORD_TEXT,
    MAX_TITLE,
    MAX_VERSION,
    Attributes,
    EntityId,
    KeywordText,
    Number,
    Op,
    Text,
    Title,
    Version,
)

R = TypeVar("R", bound=BaseModel)
Read = Callable[[Any], Any]
"""The field's value for a value of the JSON. Raises ValueError where the model must decide."""
Rule = Mapping[type, Read | None]
"""How a value of each type is read; None: as it is. The model decides about all other types."""

BACKSLASH = b"\\"
NUL = b"\\u0000"
"""The only way to write U+0000 in JSON. Half of a surrogate pair, the other text that is refused, is no JSON."""
WIDEST_INTEGER = float(2**63)
"""orjson reads an integer of more than 64 bits as a float."""
MAX_BRACKETS = 100
"""pydantic refuses JSON that is nested deeper than 200 levels, also in a field that is unknown or comes again later."""
MAX_KEY_LENGTH = MAX_ATTRIBUTE_KEY_BYTES // 4
"""Characters of a key that fits in any script."""

# A model's own attributes, as `BaseModel.model_construct` sets them.
_set_values, _set_given, _set_extra, _set_private = (BaseModel.__dict__[slot].__set__ for slot in BaseModel.__slots__)


class QuickDecoder(Generic[R]):
    """The quick decoder of one model, called with the bytes of a record.

    Raises TypeError for a model with something that it cannot follow: aliases, kept unknown fields, validators of
    other kinds than "after the model".
    """

    def __init__(self, model: type[R]) -> None:
        _check_supported(model)
        self._model = model
        self._defaults = {name: field.get_default() for name, field in model.model_fields.items()}
        self._rules = _rules(model)
        self._given = set(self._rules)
        self._checks = [one.func for one in model.__pydantic_decorators__.model_validators.values()]
        # There are few: each has only types of the rules.
        self._plans: dict[tuple[type, ...], list[tuple[str, Read]]] = {}

    def __call__(self, value: bytes) -> R | None:
        """The record, or None: the model decides."""
        if BACKSLASH in value and NUL in value:
            return None
        if value.count(b"[") + value.count(b"{") > MAX_BRACKETS:
            return None
        try:
            found = orjson.loads(value)
            return self.record(found) if type(found) is dict else None
        except ValueError:
            return None

    def record(self, found: dict[str, Any]) -> R:
        """The record of a JSON object without U+0000. Raises ValueError: the model decides."""
        values = self._defaults | found
        if len(values) != len(self._rules):
            values = {name: values[name] for name in self._rules}
        shape = tuple(map(type, values.values()))
        plan = self._plans.get(shape)
        for name, read in self._plan(shape) if plan is None else plan:
            values[name] = read(values[name])
        record = self._model.__new__(self._model)
        _set_values(record, values)
        _set_given(record, self._given)
        _set_extra(record, None)
        _set_private(record, None)
        for check in self._checks:
            check(record)
        return record

    def _plan(self, shape: tuple[type, ...]) -> list[tuple[str, Read]]:
        plan = []
        for (name, rule), of_value in zip(self._rules.items(), shape, strict=True):
            if of_value not in rule:
                raise ValueError(f"{name} is a {of_value.__name__}")
            if (read := rule[of_value]) is not None:
                plan.append((name, read))
        self._plans[shape] = plan
        return plan


def _check_supported(model: type[BaseModel]) -> None:
    decorators = model.__pydantic_decorators__
    others = (decorators.validators, decorators.field_validators, decorators.root_validators)
    if any(others) or any(one.info.mode != "after" for one in decorators.model_validators.values()):
        raise TypeError(f"{model.__name__} has validators that a quick decoder cannot follow")
    fields = model.model_fields.values()
    if model.model_config.get("extra") != "ignore" or any(one.alias or one.default_factory for one in fields):
        raise TypeError(f"{model.__name__} has aliases or made defaults, or keeps unknown fields")


def _rules(model: type[BaseModel]) -> dict[str, Rule]:
    hints = get_type_hints(model, include_extras=True)
    return {name: _rule(hints[name], field) for name, field in model.model_fields.items()}


def _rule(hint: Any, field: FieldInfo) -> Rule:
    optional = get_origin(hint) in (Union, UnionType) and type(None) in get_args(hint)
    inner = get_args(hint)[0] if optional and len(get_args(hint)) == 2 else hint
    known = next((rule for of, rule in RULES if of == inner), None)
    if known is None or field.metadata != FieldInfo.from_annotation(hint).metadata:
        known = _rule_of_other(inner, field)
    # The default of a required field is of a type without a rule.
    return {**known, type(None): None} if optional else known


def _rule_of_other(hint: Any, field: FieldInfo) -> Rule:
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return {dict: QuickDecoder(hint).record}
    whole: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    validate = TypeAdapter(whole).validator.validate_python
    return dict.fromkeys((str, int, float, bool, list, dict), validate)


def _text(longest: int) -> Read:
    def read(text: str) -> str:
        if len(text) > longest:
            raise ValueError("a long text")
        return text

    return read


def _entity_id(text: str) -> str:
    if not 1 <= len(text.encode()) <= MAX_ID_BYTES:
        raise ValueError("an id of another size")
    return text


def _op(text: str) -> str:
    if text != "upsert" and text != "delete":
        raise ValueError("another op")
    return text


def _version(version: int) -> int:
    if not 1 <= version <= MAX_VERSION:
        raise ValueError("a version out of range")
    return version


def _number(number: float) -> float:
    if not -WIDEST_INTEGER < number < WIDEST_INTEGER:
        raise ValueError("a large number")
    return float(number)


def _number_in_text(text: str) -> float:
    if not DECIMAL.fullmatch(text) or not isfinite(number := float(text)):
        raise ValueError("text that is no number")
    return number


def _attributes(values: dict[str, Any], depth: int = 1) -> dict[str, Any]:
    """`depth`: of this object, from 1."""
    if values and (depth == MAX_DEPTH or "" in values):
        raise ValueError("an empty key, or too deep")
    if len("".join(values)) > MAX_KEY_LENGTH and max(map(len, values)) > MAX_KEY_LENGTH:
        raise ValueError("a long key")
    _items(values.values(), depth)
    return values


def _items(items: Any, depth: int) -> None:
    for item in items:
        kind = type(item)
        if kind is str or kind is bool or item is None:
            continue
        if kind is float or kind is int:
            _number(item)
        elif kind is dict:
            _attributes(item, depth + 1)
        elif depth + 1 + bool(item) > MAX_DEPTH:
            raise ValueError("too deep")
        else:
            _items(item, depth + 1)


def _vector(text: str) -> bytes:
    data = pybase64.b64decode(text, validate=True)
    if not data or len(data) % 4:
        raise ValueError("a vector of another size")
    return data


RULES: list[tuple[Any, Rule]] = [
    (Text, {str: None}),
    (Title, {str: _text(MAX_TITLE)}),
    (KeywordText, {str: _text(MAX_KEYWORD_TEXT)}),
    (EntityId, {str: _entity_id}),
    (Op, {str: _op}),
    (Version, {int: _version}),
    (Number, {float: _number, int: _number, str: _number_in_text}),
    (Attributes, {dict: _attributes}),
    (VectorBytes, {str: _vector}),
]
"""The types of `fields` in the form of the parsed JSON."""
