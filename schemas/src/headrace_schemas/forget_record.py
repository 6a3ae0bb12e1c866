"""The record that takes back one version of an entity, which was published by mistake."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from headrace_schemas.fields import EntityId, Kind, Version
from headrace_schemas.headers import SCHEMA_MAJOR


class Forget(BaseModel):
    """Removes an entity from a store that has exactly this version of it, with the version. It is on the entity's
    source topic, with the entity's id as its key; the header `headrace-schema` distinguishes it from a change.

    A reader of the topic takes it in the order of the offsets: a record of this version before it no longer counts.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    schema_name: ClassVar[str] = "forget"
    schema_major: ClassVar[int] = SCHEMA_MAJOR

    kind: Kind
    id: EntityId = Field(description="the id of the product or keyword")
    version: Version = Field(description="the version that was published by mistake")
