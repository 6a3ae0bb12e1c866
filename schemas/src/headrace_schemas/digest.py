"""The digest of a change, by which a store tells a redelivery from other content under the same version.

A digest is text of three parts, `<form>:<version>:<hash>`. Form 1 hashes, with SHA-256 in hexadecimal, the UTF-8 of a
JSON object without white space:

- `op`, then the fields of the entity that have a value, in the order of `field_names`. Null is the same as absent,
  because every store treats them alike. A delete has only `op` and the id, because no store keeps more of it.
- `price` and `popularity` are 64-bit floats, so 1 is 1.0. Numbers in `attributes` are as the record wrote them, so 1
  is not 1.0: Elasticsearch finds them as different terms. A float is the shortest decimal that names it.
- The keys of `attributes` are in the order of their code points, at every level. Text is not normalised.

`occurred_at` is not part of it, because `headrace publish` sets it from the clock, nor are unknown fields, which no
store keeps, nor the vector, which follows from the fields.

The version is in it because a worker of an older release replaces an entity without its digest: what is stored then
names an older version, and is ignored.
"""

from hashlib import sha256

from orjson import OPT_SORT_KEYS, Fragment, dumps

from headrace_schemas.changes import Change
from headrace_schemas.embedded import Embedded

FORM = 1
"""Increase it with any change of what is hashed: digests of two forms are never compared."""

_BEGIN = {"upsert": b'{"op":"upsert",', "delete": b'{"op":"delete",'}


def digest_of(record: object) -> str | None:
    """The digest of a change; of an embedded record, the one that it carries. None for any other record."""
    if isinstance(record, Embedded):
        return record.digest
    if not isinstance(record, Change):
        return None
    return digest_of_content(record, content_json(record))


def digest_of_content(change: Change, content: bytes) -> str:
    """The digest of a change whose `content_json` is at hand."""
    return f"{FORM}:{change.version}:{sha256(_BEGIN[change.op] + content[1:]).hexdigest()}"


def content_json(change: Change) -> bytes:
    """The hashed fields after `op` as a JSON object, which a store may keep as it is."""
    own = vars(change)
    names = change.field_names[:1] if change.deleted else change.field_names
    content = {name: value for name in names if (value := own[name]) is not None}
    if attributes := content.get("attributes"):
        content["attributes"] = Fragment(dumps(attributes, option=OPT_SORT_KEYS))
    return dumps(content)


def differ(one: str | None, other: str | None) -> bool:
    """Whether two digests are of different content under one version. An absent one differs from none."""
    if one is None or other is None or one == other:
        return False
    return one.rpartition(":")[0] == other.rpartition(":")[0]
