"""Which version an edit of a dead letter gets.

An edit corrects the change that failed, so it takes that change's own version. With a higher one it would replace
newer changes of the catalogue; under a stored one its content would be ignored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from headrace_letters.installed_stores import StoredVersion
from headrace_schemas.fields import MAX_VERSION


@dataclass(frozen=True, slots=True)
class EditVersion:
    """`takes`: the edit gets `version`. `needs`: the operator must give a version. `refused`: there is no edit.

    `why`: one line; "" if there is nothing to say.
    """

    outcome: Literal["takes", "needs", "refused"]
    version: int | None = None
    why: str = ""

    def __str__(self) -> str:
        if self.outcome == "takes":
            return f"takes version {self.version}" + (f": {self.why}" if self.why else "")
        return f"needs a version: {self.why}" if self.outcome == "needs" else f"is refused: {self.why}"


def edit_version(
    own: int | None, stored: Mapping[str, StoredVersion], *, given: int | None = None, taken: int = 0
) -> EditVersion:
    """The version of an edit.

    `own`: the version of the change that failed; None if it cannot be read. `stored`: what each store contains for the
    entity; a store without it is missing. `given`: the operator's version. `taken`: the highest version that an earlier
    edit of the entity takes; 0 if there is none.
    """
    newest = max((one.version for one in stored.values()), default=0)
    if own is not None:
        newer = [name for name, one in stored.items() if one.version > own or (one.version == own and one.deleted)]
        if newer:
            return EditVersion("refused", why=f"{_contents(newer, stored)}, and the letter has version {own}")
    if given is None:
        if own is None:
            return EditVersion("needs", why=f"the letter has no readable version{_above(newest)}")
        if own == newest:
            return EditVersion("needs", why=f"{_contents(_holders(own, stored), stored)}{_above(newest)}")
    version = given if given is not None else own
    assert version is not None
    if version > MAX_VERSION:
        return EditVersion("refused", why=f"version {version} is above 2^63-1")
    if version <= newest:
        return EditVersion(
            "refused", why=f"version {version} is not above {_contents(_holders(newest, stored), stored)}"
        )
    if version <= taken:
        return EditVersion("refused", why=f"version {version} is not above {taken}, which an earlier line takes")
    if version == own:
        return EditVersion("takes", version)
    return EditVersion("takes", version, f"the catalogue's own version {version} would then be a conflict")


def _holders(version: int, stored: Mapping[str, StoredVersion]) -> list[str]:
    return [name for name, one in stored.items() if one.version == version]


def _contents(names: Sequence[str], stored: Mapping[str, StoredVersion]) -> str:
    """What these stores contain: "qdrant has version 3, pgvector has a delete of version 4"."""
    return ", ".join(
        f"{name} has {'a delete of ' if stored[name].deleted else ''}version {stored[name].version}"
        for name in sorted(names)
    )


def _above(newest: int) -> str:
    """What to do, and what follows from it."""
    which = f"a version above {newest}" if newest else "one"
    conflict = "the catalogue's own record of that number would then be a conflict"
    return f": give {which}, as new_version or with --version; {conflict}"
