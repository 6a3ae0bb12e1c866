"""Secrets from files: `NAME_FILE` names a file with the value of the secret setting `NAME`.

pydantic-settings can read secrets from a directory, but then the names of its files are fixed. Orchestrators mount each
secret where the operator wants it.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource, SettingsError

SUFFIX = "_FILE"


class SecretFiles(PydanticBaseSettingsSource):
    """Reads the file of each secret setting whose variable with `_FILE` at its end is set.

    It reads a file once, when the settings are made. One line end after the value is not part of it. Raises
    SettingsError if a file cannot be read or is empty, or if the setting itself is set, too.
    """

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """pydantic-settings demands this; `__call__` does not use it."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        prefix: str = self.config.get("env_prefix", "")
        for path in secret_paths(self.settings_cls):
            name = prefix + "__".join(path).upper()
            if file := os.environ.get(name + SUFFIX):
                if os.environ.get(name):
                    raise SettingsError(f"{name} and {name}{SUFFIX} are both set: set one of them")
                _put(found, path, _secret(name + SUFFIX, file))
        return found


def secret_paths(settings: type[BaseModel], outer: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where the secrets of a settings class are: the names of the fields that lead to each."""
    for name, described in settings.model_fields.items():
        nested = described.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            yield from secret_paths(nested, (*outer, name))
        elif is_secret(described):
            yield (*outer, name)


def is_secret(described: FieldInfo) -> bool:
    """Whether a setting is a secret."""
    return described.annotation is SecretStr or SecretStr in get_args(described.annotation)


def _secret(name: str, file: str) -> str:
    try:
        text = Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise SettingsError(f"{name}: {file}: {why}") from None
    value = text.removesuffix("\n").removesuffix("\r")
    if not value:
        raise SettingsError(f"{name}: {file}: is empty")
    return value


def _put(found: dict[str, Any], path: tuple[str, ...], value: str) -> None:
    *outer, name = path
    for step in outer:
        found = found.setdefault(step, {})
    found[name] = value
