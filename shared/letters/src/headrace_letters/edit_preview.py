"""Which versions edits of dead letters would get now."""

from collections.abc import Mapping, Sequence
from typing import Any

from headrace_letters.edit_version import EditVersion, edit_version
from headrace_letters.installed_stores import InstalledStores
from headrace_letters.letter import Letter
from headrace_letters.letter_rows import IndexedLetter
from headrace_letters.selection import Status
from headrace_schemas.changes import ID_FIELDS
from headrace_schemas.fields import Kind

EDITABLE: tuple[Status, ...] = ("waiting", "parked")
OF_LINKS = EditVersion(
    "refused", why="links are not edited: `headrace relink --product` computes and publishes them again"
)
"""For a link set or a request. It names a product, and its version is not one of the catalogue's."""


def is_of_links(letter: Letter) -> bool:
    """Whether the letter is of a record that the workers made about links."""
    return letter.kind is not None and letter.kind not in ID_FIELDS


async def edit_versions(letters: Sequence[IndexedLetter], stores: InstalledStores) -> dict[str, EditVersion]:
    """By id of the letter, as if the operator gave no version; a letter that cannot be edited is missing.

    An import decides again, once every worker has answered for the record. Raises Unavailable.
    """
    editable = [one.letter for one in letters if one.status in EDITABLE]
    found: dict[str, EditVersion] = {letter.id: OF_LINKS for letter in editable if is_of_links(letter)}
    for kind in ID_FIELDS:
        of_kind = [(letter, letter.entity_id) for letter in editable if letter.kind == kind and letter.entity_id]
        stored = await _stored(kind, list({id: None for _, id in of_kind}), stores)
        for letter, id in of_kind:
            there = {name: entities[id] for name, entities in stored.items() if id in entities}
            found[letter.id] = edit_version(letter.version, there)
    return found


async def _stored(kind: Kind, ids: Sequence[str], stores: InstalledStores) -> Mapping[str, Mapping[Any, Any]]:
    return await stores.everywhere(kind, ids) if ids else {}
