"""Writes docs/settings.md from the settings classes of the installed workers.

.venv/bin/python docs/settings_page.py > docs/settings.md
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from headrace_worker.secret_files import SUFFIX, is_secret
from headrace_worker.settings import ENV_PREFIX, CommonSettings
from headrace_worker.worker import SETTINGS_GROUP, worker_names

INTRODUCTION = """\
# Settings

<!-- Made by docs/settings_page.py; edit the settings classes instead. -->

Every setting is an environment variable. `headrace up` writes the variables of its servers to `.headrace/stack.env`,
which every command reads; a variable of the environment itself takes precedence. After a wrong value a command or a
worker ends with exit status 2 and one line, which names the variable and not its value. A `HEADRACE_` variable that
nothing reads causes a warning with the most similar name of a setting.

A secret can come from a file instead, as orchestrators mount them: its variable with `_FILE` at the end names the file.
It is read when a process starts, and a line end after the secret is ignored. [connections.md](connections.md) says what
to set for servers with TLS and accounts.

A default of "none" means that the setting is off until it has a value. The commands `stores apply` and `search` read
the settings of the store's worker; `topics apply`, `publish` and `wait` read the settings of every worker.
"""
GENERAL = "General"
TITLES = {"DEAD": "Dead letters", "HTTP": "HTTP", "KAFKA": "Kafka", "POSTGRES": "PostgreSQL"}


@dataclass
class Variable:
    """One environment variable. `defaults`: each default value, with the workers that have it."""

    name: str
    section: str
    about_section: str
    described: FieldInfo
    defaults: dict[str, list[str]] = field(default_factory=dict)


def page() -> str:
    """The whole page, as Markdown."""
    variables = all_variables()
    workers = set(worker_names())
    parts = [INTRODUCTION]
    for section in sorted({v.section for v in variables}, key=lambda section: (section != GENERAL, section)):
        members = [variable for variable in variables if variable.section == section]
        parts.append(f"## {section}\n\n{members[0].about_section}\n")
        parts.append("| variable | default | read by | what it is |\n|---|---|---|---|")
        parts += [row(variable, workers) for variable in members]
        parts.append("")
    return "\n".join(parts)


def row(variable: Variable, workers: set[str]) -> str:
    """One line of a table. If the workers' defaults differ, each is shown with its workers."""
    readers = {name for names in variable.defaults.values() for name in names}
    default, *others = (f"{', '.join(names)}: {value}" for value, names in variable.defaults.items())
    default = "<br>".join([default, *others]) if others else next(iter(variable.defaults))
    read_by = ", ".join(["every worker", *sorted(readers - workers)] if readers >= workers else sorted(readers))
    secret = f"; `{variable.name}{SUFFIX}` names a file with it" if is_secret(variable.described) else ""
    about = f"{variable.described.description or ''}{accepted(variable.described)}{secret}"
    return f"| `{variable.name}` | {default} | {read_by} | {about} |"


def accepted(described: FieldInfo) -> str:
    """The values of a closed list, if the field has one."""
    for option in (described.annotation, *get_args(described.annotation)):
        if get_origin(option) is Literal:
            return f" ({', '.join(f'`{value}`' for value in get_args(option))})"
    return ""


def all_variables() -> list[Variable]:
    """Every variable of every worker, in the order of the classes."""
    found: dict[str, Variable] = {}
    for entry_point in sorted(entry_points(group=SETTINGS_GROUP), key=lambda entry_point: entry_point.name):
        settings: type[CommonSettings] = entry_point.load()
        for variable, default in variables_of(settings.model_construct()):
            known = found.setdefault(variable.name, variable)
            known.defaults.setdefault(default, []).append(entry_point.name)
    return list(found.values())


def variables_of(
    settings: BaseModel, prefix: str = ENV_PREFIX, section: str = GENERAL, about: str = "What every worker reads."
) -> Iterator[tuple[Variable, str]]:
    """The variables of one settings object and their defaults; a nested object is a section of its own."""
    for name, described in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            title = TITLES.get(name.upper(), name.capitalize())
            yield from variables_of(value, f"{prefix}{name.upper()}__", title, introduction(type(value)))
        else:
            yield Variable(prefix + name.upper(), section, about, described), shown(value)


def introduction(nested: type[BaseModel]) -> str:
    """The docstring of the first class of its kind. That of a subclass, which changes a default, is left out."""
    origin = [parent for parent in nested.__mro__ if issubclass(parent, BaseModel) and parent is not BaseModel][-1]
    return re.sub(r"\s+", " ", origin.__doc__ or "").strip()


def shown(value: Any) -> str:
    """A default as it is written in the environment."""
    if value is None:
        return "none"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, bool):
        value = str(value).lower()
    return f"`{value}`"


if __name__ == "__main__":
    print(page(), end="")
