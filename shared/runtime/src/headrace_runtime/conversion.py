"""Converts a record of an older schema major to the major of the model that decodes it."""

from pydantic_core import from_json, to_json

from headrace_schemas.upcasts import NoUpcast, upgraded
from headrace_worker.stage import Rejected


def converted(value: bytes, name: str, major: int, newest: int) -> bytes | Rejected:
    """The JSON of a record of schema `name` in major `newest`, or why it cannot be converted.

    JSON that is no object is returned as it is: the model rejects it.
    """
    try:
        older = from_json(value)
    except ValueError:
        return value
    if not isinstance(older, dict):
        return value
    try:
        return to_json(upgraded(name, older, major, newest), inf_nan_mode="constants")
    except NoUpcast as missing:
        return Rejected("unknown_schema", str(missing), ("older", f"{name}/{missing.major}"))
    except Exception as error:
        # A step relies on the schema of its major. A record that violates that schema is one dead letter.
        detail = f"cannot be converted from {name}/{major}: {type(error).__name__}"
        return Rejected("invalid", detail, ("upcast", f"{name}/{major}", type(error).__name__), error)
