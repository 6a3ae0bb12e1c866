"""The rejection of a record that its model does not accept."""

from typing import Literal

from pydantic import ValidationError

from headrace_worker.stage import Rejected


def invalid(error: ValidationError) -> Rejected:
    """The rejection for a validation error. Its cause is pydantic's error type and location, never the value."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join("*" if isinstance(step, int) else step for step in first["loc"][:3])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    reason: Literal["not_json", "invalid"] = "not_json" if first["type"] == "json_invalid" else "invalid"
    words = f"{where or 'the record'}: {first['msg']}"
    return Rejected(reason, words + more, (first["type"], where), words=words)
