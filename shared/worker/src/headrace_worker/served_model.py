"""Whether the stores hold the data of another model than that of the settings."""

from typing import Any

from headrace_worker.store import ServesModel
from headrace_worker.worker import Worker


class OtherModel(Exception):
    """The stores hold the data of another model, and nothing of the model of the settings."""

    def __init__(self, worker: str, stored: str, wanted: str) -> None:
        super().__init__(
            f"the stores of {worker} hold the data of {stored}, and HEADRACE_MODEL is {wanted}: set it back, or change "
            f"the model with `headrace migrate --model {wanted}`"
        )


async def check_model(worker: Worker, settings: Any) -> None:
    """Raises OtherModel, or Unavailable if the store does not answer."""
    opener = worker.store or worker.links
    if opener is None:
        return
    store = opener(settings)
    try:
        if isinstance(store, ServesModel) and (stored := await store.other_model()) is not None:
            raise OtherModel(worker.name, stored, settings.model)
    finally:
        await store.close()
