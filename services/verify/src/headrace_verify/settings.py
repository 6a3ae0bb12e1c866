"""What the worker `verify` reads from the environment, beside the settings of the stores' workers."""

from pydantic import BaseModel, Field

from headrace_worker.settings import ProcessSettings


class VerifyOptions(BaseModel):
    """How fast the stores are compared all the time."""

    cycle: float = Field(900.0, ge=1, description="seconds in which every store is compared once, a slice at a time")
    slice: int = Field(2000, ge=1, description="entities of a slice")
    settle_within: float = Field(
        60.0, gt=0, description="seconds that the workers have before a difference may be late and not wrong"
    )


class VerifySettings(ProcessSettings):
    """The settings of a process, and of the comparison."""

    verify: VerifyOptions = VerifyOptions()
