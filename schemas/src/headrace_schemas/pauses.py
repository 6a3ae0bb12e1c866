"""The record that pauses or resumes a worker. Its topic is compacted: the last record of each worker counts."""

from typing import ClassVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from headrace_schemas.fields import Text
from headrace_schemas.headers import SCHEMA_MAJOR


class Pause(BaseModel):
    """Whether a worker is paused: all its copies, also those that start later. Its key is the worker's name."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    schema_name: ClassVar[str] = "pause"
    schema_major: ClassVar[int] = SCHEMA_MAJOR

    worker: Text
    paused: bool = Field(description="false: the worker is resumed")
    actor: Text = Field(description="who paused or resumed it")
    reason: Text = ""
    at: AwareDatetime
