"""What the canary reads from the environment, beside the settings of the stores' workers."""

from pydantic import BaseModel, Field

from headrace_worker.settings import ProcessSettings


class CanaryOptions(BaseModel):
    """How often freshness is measured, and what is promised."""

    interval: float = Field(5.0, ge=0.5, description="seconds between two changes of the canary")
    objective: float = Field(
        5.0, gt=0, description="seconds within which a search is to find 99 % of the changes; exported as a metric"
    )
    missing_after: float = Field(
        60.0, gt=0, description="seconds after which a change that no search has found counts as missing"
    )


class CanarySettings(ProcessSettings):
    """The settings of a process, and of the measurement."""

    canary: CanaryOptions = CanaryOptions()
